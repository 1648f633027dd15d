// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/program_variables.h"

#include "check.h"

namespace {

using tessera::worker::declares_variables;
using tessera::worker::options_allow_variables;

void variables_are_seen() {
  for (const char* text : {"global int g;",
                           "int g;",
                           "int g = 3;",
                           "int g[10];",
                           "__global float4 g = (float4)(1);",
                           "static global int g;",
                           "volatile global atomic_int g = ATOMIC_VAR_INIT(0);",
                           "global int *p;",
                           "const int *p;",
                           "struct S { int a; } g;",
                           "struct S g;",
                           "struct S { int a; };\nstruct S g;",
                           "kernel void k() {}\nuint g = 1;",
                           "int a[2] = {1, 2}, b;",
                           "__attribute__((aligned(8))) int g;",
                           "kernel void k(global int* p) { static int s = 0; *p = s++; }",
                           "kernel void k() { if (1) { static global int s; s++; } }",
                           "MACRO(x) int g;",
                           "#define X 1 /* more\n*/\nint g;",
                           "// kernel\nint g;",
                           "typedef int T;\nT g;",
                           "enum E { a } g;",
                           "void f(int);\nint g;"}) {
    if (!declares_variables(text)) ::fprintf(stderr, "not seen: %s\n", text);
    CHECK(declares_variables(text));
  }
}

void other_declarations_are_none() {
  for (const char* text :
       {"",
        "kernel void k(global int* p) { int x; *p = x; }",
        "constant int c = 1;",
        "__constant float t[2] = {1, 2};",
        "const int c = 3;",
        "static const float c = 1;",
        "const sampler_t s = CLK_FILTER_NEAREST | 0;",
        "constant sampler_t s = 0;",
        "typedef struct { int a; } S;",
        "struct S { int a; };",
        "struct S;",
        "union U;",
        "enum { a, b };",
        "enum E { a = 1, b };",
        "int f(int a);",
        "static inline int f(int a) { return a; }",
        "float4 f(float4 a) __attribute__((const));",
        "extern int g;",
        "typedef int T[4];",
        "__attribute__((reqd_work_group_size(1, 1, 1)))\nkernel void k() {}",
        "kernel void k() REQUIRED { for (int i = 0; i < 3; ++i) { local int l[4]; } }",
        "kernel void k() { static constant int s = 1; const int i = s; }",
        "// int g;",
        "/* int g; */",
        "#define G int g;",
        "#define G \\\n int g;\n",
        "MACRO(x);",
        "1, 2, 3,",
        "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n",
        "constant char s[] = \"int g; {\";"}) {
    if (declares_variables(text)) ::fprintf(stderr, "seen: %s\n", text);
    CHECK(!declares_variables(text));
  }
}

void only_later_versions_have_them() {
  CHECK(options_allow_variables("-w -cl-std=CL2.0"));
  CHECK(options_allow_variables("\"-cl-std=CL3.0\"") && options_allow_variables("-cl-std=CLC++"));
  CHECK(!options_allow_variables("") && !options_allow_variables("-cl-std=CL1.2 -w"));
}

}  // namespace

int main() {
  variables_are_seen();
  other_declarations_are_none();
  only_later_versions_have_them();
  return 0;
}

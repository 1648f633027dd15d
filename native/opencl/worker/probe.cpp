// SPDX-License-Identifier: Apache-2.0
//
// tessera-probe: which OpenCL devices this host has, as JSON on standard output.
//
// A program of its own, because a driver that crashes or hangs while it looks for its devices must
// not take the daemon along. The loader is opened at run time: a host without OpenCL then gets a
// sentence instead of the dynamic linker's complaint. Drivers may print while they load, so their
// standard output is turned to standard error before the loader is touched.
//
// `index` is what clGetPlatformIDs and clGetDeviceIDs(CL_DEVICE_TYPE_ALL) say, a skipped platform
// included, so that a worker started in the same environment finds the same device by it.
#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "opencl/worker/probe_json.h"

namespace tessera::probe {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;
// Not in every version of the headers.
constexpr cl_device_info kUuid = 0x106A;
constexpr cl_device_info kPciBusInfo = 0x410F;
constexpr cl_device_info kNvidiaPciBus = 0x4008;
constexpr cl_device_info kNvidiaPciSlot = 0x4009;
constexpr cl_device_info kNvidiaPciDomain = 0x400A;

struct Loader {
  decltype(&::clGetPlatformIDs) platform_ids = nullptr;
  decltype(&::clGetPlatformInfo) platform_info = nullptr;
  decltype(&::clGetDeviceIDs) device_ids = nullptr;
  decltype(&::clGetDeviceInfo) device_info = nullptr;

  // False, with a message, if there is no loader.
  bool open() {
    void* library = ::dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      std::fprintf(
          stderr,
          "tessera-probe: no OpenCL loader: %s. Install one (Debian: ocl-icd-libopencl1) and a "
          "driver for the device.\n",
          ::dlerror());
      return false;
    }
    return find(library, "clGetPlatformIDs", platform_ids) &&
           find(library, "clGetPlatformInfo", platform_info) &&
           find(library, "clGetDeviceIDs", device_ids) &&
           find(library, "clGetDeviceInfo", device_info);
  }

 private:
  template <class Function>
  static bool find(void* library, const char* name, Function& into) {
    into = reinterpret_cast<Function>(::dlsym(library, name));
    if (into == nullptr) {
      std::fprintf(stderr, "tessera-probe: libOpenCL.so.1 has no %s: it is no OpenCL loader\n",
                   name);
    }
    return into != nullptr;
  }
};

template <class Query>
std::string read_text(Query query) {
  std::size_t size = 0;
  if (query(0, nullptr, &size) != CL_SUCCESS || size == 0) return {};
  std::string text(size, '\0');
  if (query(size, text.data(), nullptr) != CL_SUCCESS) return {};
  return text.substr(0, text.find('\0'));
}

std::string platform_text(const Loader& cl, cl_platform_id platform, cl_platform_info what) {
  return read_text([&](std::size_t size, void* value, std::size_t* needed) {
    return cl.platform_info(platform, what, size, value, needed);
  });
}

std::string device_text(const Loader& cl, cl_device_id device, cl_device_info what) {
  return read_text([&](std::size_t size, void* value, std::size_t* needed) {
    return cl.device_info(device, what, size, value, needed);
  });
}

template <class T>
std::optional<T> device_value(const Loader& cl, cl_device_id device, cl_device_info what) {
  T value{};
  if (cl.device_info(device, what, sizeof value, &value, nullptr) != CL_SUCCESS) return {};
  return value;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (end != 0) found.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return found;
}

std::string_view type_name(cl_device_type type) {
  if (type & CL_DEVICE_TYPE_GPU) return "GPU";
  if (type & CL_DEVICE_TYPE_ACCELERATOR) return "ACCELERATOR";
  if (type & CL_DEVICE_TYPE_CUSTOM) return "CUSTOM";
  return "CPU";
}

std::optional<std::string> pci_address(const Loader& cl, cl_device_id device) {
  std::array<cl_uint, 4> at{};  // domain, bus, device, function
  if (const auto khr = device_value<std::array<cl_uint, 4>>(cl, device, kPciBusInfo)) {
    at = *khr;
  } else if (const auto bus = device_value<cl_uint>(cl, device, kNvidiaPciBus)) {
    const cl_uint slot = device_value<cl_uint>(cl, device, kNvidiaPciSlot).value_or(0);
    const cl_uint domain = device_value<cl_uint>(cl, device, kNvidiaPciDomain).value_or(0);
    at = {domain, *bus, slot >> 3, slot & 7};
  } else {
    return {};
  }
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.%x", at[0], at[1], at[2], at[3]);
  return text.data();
}

std::optional<std::string> uuid(const Loader& cl, cl_device_id device) {
  const auto bytes = device_value<std::array<unsigned char, 16>>(cl, device, kUuid);
  if (!bytes) return {};
  std::string text;
  for (const unsigned char byte : *bytes) {
    std::array<char, 4> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    text += digits.data();
  }
  return text;
}

std::string or_null(const std::optional<std::string>& text) {
  return text ? json_string(*text) : "null";
}

class Object {
 public:
  void raw(std::string_view key, std::string_view value) {
    text_ += text_.empty() ? "{" : ",";
    text_ += json_string(key);
    text_ += ":";
    text_ += value;
  }
  void text(std::string_view key, std::string_view value) { raw(key, json_string(value)); }
  void number(std::string_view key, std::uint64_t value) { raw(key, std::to_string(value)); }
  std::string end() const { return text_ + "}"; }

 private:
  std::string text_;
};

std::string list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const auto& item : items) {
    if (text.size() > 1) text += ",";
    text += item;
  }
  return text + "]";
}

std::string describe_device(const Loader& cl, cl_device_id device, std::size_t index) {
  Object object;
  object.number("index", index);
  object.text("name", device_text(cl, device, CL_DEVICE_NAME));
  object.text("vendor", device_text(cl, device, CL_DEVICE_VENDOR));
  object.text("version", device_text(cl, device, CL_DEVICE_VERSION));
  object.text("driver_version", device_text(cl, device, CL_DRIVER_VERSION));
  object.text("type",
              type_name(device_value<cl_device_type>(cl, device, CL_DEVICE_TYPE).value_or(0)));
  const auto bytes = [&](cl_device_info what) {
    return device_value<cl_ulong>(cl, device, what).value_or(0);
  };
  object.number("global_mem_size", bytes(CL_DEVICE_GLOBAL_MEM_SIZE));
  object.number("max_mem_alloc_size", bytes(CL_DEVICE_MAX_MEM_ALLOC_SIZE));
  object.number("max_compute_units",
                device_value<cl_uint>(cl, device, CL_DEVICE_MAX_COMPUTE_UNITS).value_or(0));
  object.raw("pci_address", or_null(pci_address(cl, device)));
  object.raw("uuid", or_null(uuid(cl, device)));
  std::vector<std::string> extensions;
  const std::string names = device_text(cl, device, CL_DEVICE_EXTENSIONS);
  for (const auto word : words(names)) extensions.push_back(json_string(word));
  object.raw("extensions", list(extensions));
  return object.end();
}

std::vector<cl_device_id> devices_of(const Loader& cl, cl_platform_id platform) {
  cl_uint count = 0;
  if (cl.device_ids(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count) != CL_SUCCESS) return {};
  std::vector<cl_device_id> devices(count);
  if (count == 0 ||
      cl.device_ids(platform, CL_DEVICE_TYPE_ALL, count, devices.data(), nullptr) != CL_SUCCESS) {
    return {};
  }
  return devices;
}

std::string describe_platform(const Loader& cl, cl_platform_id platform, std::size_t index) {
  Object object;
  object.number("index", index);
  object.text("name", platform_text(cl, platform, CL_PLATFORM_NAME));
  object.text("vendor", platform_text(cl, platform, CL_PLATFORM_VENDOR));
  object.text("version", platform_text(cl, platform, CL_PLATFORM_VERSION));
  std::vector<std::string> described;
  for (const cl_device_id device : devices_of(cl, platform)) {
    described.push_back(describe_device(cl, device, described.size()));
  }
  object.raw("devices", list(described));
  return object.end();
}

std::vector<std::string> describe_platforms(const Loader& cl) {
  cl_uint count = 0;
  // A loader that finds no driver reports CL_PLATFORM_NOT_FOUND_KHR or a count of 0: both are no
  // error.
  if (cl.platform_ids(0, nullptr, &count) != CL_SUCCESS || count == 0) return {};
  std::vector<cl_platform_id> platforms(count);
  if (cl.platform_ids(count, platforms.data(), nullptr) != CL_SUCCESS) return {};
  std::vector<std::string> described;
  for (std::size_t i = 0; i < platforms.size(); ++i) {
    if (platform_text(cl, platforms[i], CL_PLATFORM_NAME) == "Tessera") continue;
    described.push_back(describe_platform(cl, platforms[i], i));
  }
  return described;
}

int run() {
  const int out = ::dup(STDOUT_FILENO);
  if (out < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    std::perror("tessera-probe: cannot set standard output aside");
    return kFailure;
  }
  Loader cl;
  if (!cl.open()) return kFailure;
  const std::string json = "{\"platforms\":" + list(describe_platforms(cl)) + "}\n";
  std::FILE* const stream = ::fdopen(out, "w");
  if (stream == nullptr || std::fputs(json.c_str(), stream) < 0 || std::fclose(stream) != 0) {
    std::perror("tessera-probe: cannot write the answer");
    return kFailure;
  }
  return 0;
}

}  // namespace
}  // namespace tessera::probe

int main(int argc, char** argv) {
  if (argc == 1) return tessera::probe::run();
  const bool help = std::string_view(argv[1]) == "--help";
  std::fprintf(help ? stdout : stderr,
               "usage: tessera-probe\n\nPrints this host's OpenCL platforms and devices as JSON. "
               "OCL_ICD_VENDORS chooses the drivers, as for every OpenCL program.\n");
  return help ? 0 : tessera::probe::kUsage;
}

// SPDX-License-Identifier: Apache-2.0
// What carries the precompiled headers: CMake hangs them on a target, and a target needs a source.

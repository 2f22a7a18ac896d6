#include "base/thread_count.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <stdexcept>
#include <thread>

#include "base/thread_pool.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace chainrule {

namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

// What stands before the separator; `text` becomes what stands after it.
std::string_view take_until(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  const std::string_view head = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  return head;
}

// A positive decimal integer and nothing else. One too large for the type is the largest.
std::optional<int64_t> parse_positive(std::string_view text) {
  text = trim(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty() || text.front() == '-') return {};
  if (error == std::errc::result_out_of_range) return INT64_MAX;
  if (error != std::errc{} || value == 0) return {};
  return value;
}

int clamp_count(int64_t count) {
  return static_cast<int>(std::clamp<int64_t>(count, 1, ThreadPool::kMaxThreads));
}

std::optional<int> quota_in_processors(std::optional<int64_t> quota,
                                       std::optional<int64_t> period) {
  if (!quota || !period) return {};
  return clamp_count(*quota / *period + (*quota % *period != 0 ? 1 : 0));
}

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return {};
  return std::string(std::istreambuf_iterator<char>(file), {});
}

int usable_processors() {
#if defined(__linux__)
  cpu_set_t allowed;
  // Fails where the kernel has more than 1024 processors.
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return clamp_count(CPU_COUNT(&allowed));
#endif
  return clamp_count(static_cast<int64_t>(std::thread::hardware_concurrency()));
}

int machine_thread_count() {
  int count = usable_processors();
#if defined(__linux__)
  if (const std::optional<int> limit = cgroup_cpu_limit(read_text)) count = std::min(count, *limit);
#endif
  return count;
}

}  // namespace

int default_thread_count() {
  const std::optional<int> count = environment_thread_count(std::getenv("CHAINRULE_NUM_THREADS"),
                                                            std::getenv("OMP_NUM_THREADS"));
  return count ? *count : machine_thread_count();
}

std::optional<int> environment_thread_count(const char* chainrule_num_threads,
                                            const char* omp_num_threads) {
  if (chainrule_num_threads != nullptr && *chainrule_num_threads != '\0') {
    const std::optional<int> count = parse_thread_count(chainrule_num_threads);
    if (count) return count;
    throw std::invalid_argument("the environment variable CHAINRULE_NUM_THREADS is '" +
                                std::string(chainrule_num_threads) +
                                "'; expected a positive integer, such as 4");
  }
  if (omp_num_threads == nullptr) return {};
  // A list has one number for each level of nesting.
  std::string_view levels = omp_num_threads;
  return parse_thread_count(take_until(levels, ','));
}

std::optional<int> parse_thread_count(std::string_view text) {
  const std::optional<int64_t> count = parse_positive(text);
  if (!count) return {};
  return clamp_count(*count);
}

// Lines such as "4:cpu,cpuacct:/user.slice" (version 1) and "0::/user.slice" (version 2).
std::optional<std::string> cgroup_path(std::string_view text, std::string_view controller) {
  while (!text.empty()) {
    std::string_view path = take_until(text, '\n');
    take_until(path, ':');
    std::string_view controllers = take_until(path, ':');
    if (path.empty() || path.front() != '/') continue;
    bool is_found = controllers == controller;
    while (!is_found && !controllers.empty()) is_found = take_until(controllers, ',') == controller;
    if (is_found) return std::string(path);
  }
  return {};
}

std::optional<int> parse_cpu_max(std::string_view text) {
  text = trim(text);
  const std::string_view quota = take_until(text, ' ');  // "max" when unlimited
  return parse_cfs_quota(quota, text);
}

std::optional<int> parse_cfs_quota(std::string_view quota, std::string_view period) {
  return quota_in_processors(parse_positive(quota), parse_positive(period));  // -1 when unlimited
}

std::optional<int> cgroup_cpu_limit(const ReadFile& read_file) {
  const std::optional<std::string> groups = read_file("/proc/self/cgroup");
  if (!groups) return {};
  std::optional<int> limit;
  const auto take = [&](std::optional<int> quota) {
    if (quota) limit = std::min(*quota, limit.value_or(*quota));
  };
  // The group's folder, then those above it. In a container the path may be the host's, which is
  // not there, while the mount's root is the container's own group: so a missing folder is skipped.
  const auto walk = [](const std::string& mount, std::string path, const auto& visit) {
    for (;;) {
      while (!path.empty() && path.back() == '/') path.pop_back();
      visit(mount + path);
      if (path.empty()) return;
      path.resize(path.rfind('/') + 1);
    }
  };
  // The usual mount points; a table of mounts would add little.
  if (const std::optional<std::string> path = cgroup_path(*groups, "")) {
    for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
      walk(mount, *path, [&](const std::string& folder) {
        if (const auto text = read_file(folder + "/cpu.max")) take(parse_cpu_max(*text));
      });
    }
  }
  if (const std::optional<std::string> path = cgroup_path(*groups, "cpu")) {
    for (const char* mount : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) {
      walk(mount, *path, [&](const std::string& folder) {
        const auto quota = read_file(folder + "/cpu.cfs_quota_us");
        const auto period = read_file(folder + "/cpu.cfs_period_us");
        if (quota && period) take(parse_cfs_quota(*quota, *period));
      });
    }
  }
  return limit;
}

}  // namespace chainrule

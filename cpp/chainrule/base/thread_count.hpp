// How many threads to use when nobody says. Called by the bindings; the functions below it are its
// parts, here for the tests.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace chainrule {

// In [1, ThreadPool::kMaxThreads]: the environment variable CHAINRULE_NUM_THREADS; else
// OMP_NUM_THREADS when it makes sense; else the processors that this process may run on, or fewer
// if its control group's quota pays for fewer. An empty variable counts as unset. Throws
// std::invalid_argument when CHAINRULE_NUM_THREADS is not a positive integer. Reads files: some 100
// us, so keep the result.
int default_thread_count();

// What the two variables say (null: unset), if anything. Throws as above.
std::optional<int> environment_thread_count(const char* chainrule_num_threads,
                                            const char* omp_num_threads);

// A positive integer, cut to ThreadPool::kMaxThreads, with spaces around it allowed.
std::optional<int> parse_thread_count(std::string_view text);

// The path of the process's control group, from the text of /proc/self/cgroup: the group that the
// named controller of version 1 has, or, for an empty name, that of version 2.
std::optional<std::string> cgroup_path(std::string_view text, std::string_view controller);

// Processors that a quota pays for, rounded up; none when it is unlimited or makes no sense.
std::optional<int> parse_cpu_max(std::string_view text);  // version 2: "200000 100000"
std::optional<int> parse_cfs_quota(std::string_view quota, std::string_view period);  // version 1

// The smallest quota of the process's control groups and those above them. `read_file` gives the
// text of the file with that absolute path, or nothing.
using ReadFile = std::function<std::optional<std::string>(const std::string&)>;
std::optional<int> cgroup_cpu_limit(const ReadFile& read_file);

}  // namespace chainrule

// The default number of threads: the parsers, the order of the sources, the control groups.
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "base/thread_count.hpp"
#include "base/thread_pool.hpp"

#if defined(__linux__)
#include <sched.h>
#endif

namespace {

using chainrule::cgroup_cpu_limit;
using chainrule::cgroup_path;
using chainrule::default_thread_count;
using chainrule::environment_thread_count;
using chainrule::parse_cfs_quota;
using chainrule::parse_cpu_max;
using chainrule::parse_thread_count;

constexpr int kMost = chainrule::ThreadPool::kMaxThreads;

TEST_CASE("a thread count is a positive integer, and cut to the maximum") {
  CHECK(parse_thread_count("1") == 1);
  CHECK(parse_thread_count("16") == 16);
  CHECK(parse_thread_count(" 4\t") == 4);
  CHECK(parse_thread_count("007") == 7);
  CHECK(parse_thread_count("1024") == kMost);
  CHECK(parse_thread_count("1025") == kMost);
  CHECK(parse_thread_count("99999999999999999999999") == kMost);
  for (const char* text : {"", " ", "0", "-1", "-99999999999999999999999", "+4", "4.0", "1e2",
                           "four", "4 2", "4,2", "0x4", "4 threads"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_thread_count(text).has_value());
  }
}

TEST_CASE("CHAINRULE_NUM_THREADS comes before OMP_NUM_THREADS, and empty is unset") {
  CHECK(environment_thread_count("3", "5") == 3);
  CHECK(environment_thread_count(nullptr, "5") == 5);
  CHECK(environment_thread_count("", "5") == 5);
  CHECK(environment_thread_count(nullptr, "4,2") == 4);
  CHECK(environment_thread_count(nullptr, " 6 , 2") == 6);
  CHECK_FALSE(environment_thread_count(nullptr, nullptr).has_value());
  for (const char* openmp : {"", "0", "many", ",2", "-3,2"}) {
    CAPTURE(openmp);
    CHECK_FALSE(environment_thread_count(nullptr, openmp).has_value());
  }
}

TEST_CASE("a bad CHAINRULE_NUM_THREADS is an error that says what was given and expected") {
  for (const char* value : {"0", "-2", "two", " ", "4,2", "1.5"}) {
    CAPTURE(value);
    std::string message;
    try {
      environment_thread_count(value, "5");
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    CHECK(message.find("CHAINRULE_NUM_THREADS") != std::string::npos);
    CHECK(message.find('\'' + std::string(value) + '\'') != std::string::npos);
    CHECK(message.find("positive integer") != std::string::npos);
  }
}

TEST_CASE("the group is found by controller, or by its absence in version 2") {
  const std::string hybrid =
      "12:name=systemd:/boot\n"
      "5:cpuset:/sets\n"
      "4:cpuacct,cpu:/user.slice/app\n"
      "0::/user.slice/a:b\n";
  CHECK(cgroup_path(hybrid, "cpu") == "/user.slice/app");
  CHECK(cgroup_path(hybrid, "cpuacct") == "/user.slice/app");
  CHECK(cgroup_path(hybrid, "cpuset") == "/sets");
  CHECK(cgroup_path(hybrid, "") == "/user.slice/a:b");
  CHECK_FALSE(cgroup_path(hybrid, "memory").has_value());
  CHECK(cgroup_path("0::/", "") == "/");
  CHECK_FALSE(cgroup_path("1:cpu:/\n", "").has_value());
  for (const char* text : {"", "\n", "nonsense", "0:", "0::", "0::relative\n"}) {
    CAPTURE(text);
    CHECK_FALSE(cgroup_path(text, "").has_value());
  }
}

TEST_CASE("a quota is rounded up to whole processors") {
  CHECK(parse_cpu_max("200000 100000\n") == 2);
  CHECK(parse_cpu_max("200001 100000\n") == 3);
  CHECK(parse_cpu_max("1000 100000\n") == 1);
  CHECK(parse_cpu_max("9223372036854775807 1\n") == kMost);
  for (const char* text : {"", "max 100000\n", "max", "200000", "200000 0", "-1 100000", "a b"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_cpu_max(text).has_value());
  }
  CHECK(parse_cfs_quota("150000\n", "100000\n") == 2);
  CHECK_FALSE(parse_cfs_quota("-1\n", "100000\n").has_value());
}

// The limit that a machine with these files has.
std::optional<int> limit_of(const std::map<std::string, std::string>& files) {
  return cgroup_cpu_limit([&](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return {};
    return found->second;
  });
}

TEST_CASE("the smallest quota between the group and the root counts") {
  const std::string self = "/proc/self/cgroup", v2 = "/sys/fs/cgroup", v1 = "/sys/fs/cgroup/cpu";
  CHECK_FALSE(limit_of({}).has_value());
  CHECK_FALSE(limit_of({{self, "0::/\n"}}).has_value());
  CHECK(limit_of({{self, "0::/a/b\n"},
                  {v2 + "/a/b/cpu.max", "800000 100000\n"},
                  {v2 + "/a/cpu.max", "300000 100000\n"},
                  {v2 + "/cpu.max", "max 100000\n"}}) == 3);
  // A container that is shown the host's path, but only its own group's files.
  CHECK(limit_of({{self, "0::/docker/0123\n"}, {v2 + "/cpu.max", "150000 100000\n"}}) == 2);
  CHECK(limit_of({{self, "0::/\n"}, {v2 + "/unified/cpu.max", "500000 100000\n"}}) == 5);
  CHECK(limit_of({{self, "3:cpu,cpuacct:/jobs/one\n0::/\n"},
                  {v1 + "/jobs/one/cpu.cfs_quota_us", "-1\n"},
                  {v1 + "/jobs/one/cpu.cfs_period_us", "100000\n"},
                  {v1 + "/jobs/cpu.cfs_quota_us", "250000\n"},
                  {v1 + "/jobs/cpu.cfs_period_us", "100000\n"}}) == 3);
  CHECK(limit_of({{self, "3:cpu,cpuacct:/\n"},
                  {v1 + ",cpuacct/cpu.cfs_quota_us", "100000\n"},
                  {v1 + ",cpuacct/cpu.cfs_period_us", "50000\n"}}) == 2);
  // A quota of another controller's group is not this process's.
  CHECK_FALSE(limit_of({{self, "3:memory:/\n"},
                        {v1 + "/cpu.cfs_quota_us", "100000\n"},
                        {v1 + "/cpu.cfs_period_us", "100000\n"}})
                  .has_value());
}

#if defined(__linux__)
TEST_CASE("the default follows the environment, then the affinity mask") {
  unsetenv("CHAINRULE_NUM_THREADS");
  unsetenv("OMP_NUM_THREADS");
  const int unforced = default_thread_count();
  CHECK(unforced >= 1);
  CHECK(unforced <= kMost);
  setenv("OMP_NUM_THREADS", "7,2", 1);
  CHECK(default_thread_count() == 7);
  setenv("CHAINRULE_NUM_THREADS", "9", 1);
  CHECK(default_thread_count() == 9);
  setenv("CHAINRULE_NUM_THREADS", "none", 1);
  CHECK_THROWS_AS(default_thread_count(), std::invalid_argument);
  unsetenv("CHAINRULE_NUM_THREADS");
  unsetenv("OMP_NUM_THREADS");

  cpu_set_t allowed, one;
  REQUIRE(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
  CPU_ZERO(&one);
  for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
    if (CPU_ISSET(i, &allowed)) CPU_SET(i, &one);
  }
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
  CHECK(default_thread_count() == 1);
  REQUIRE(sched_setaffinity(0, sizeof(allowed), &allowed) == 0);
  CHECK(default_thread_count() == unforced);
}
#endif

}  // namespace

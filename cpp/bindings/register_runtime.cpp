// Variants, lists of names, build information.
#include "arrays.hpp"
#include "build_config.hpp"
#include "interpreter.hpp"
#include "kernels/registry.hpp"
#include "layers/initializers.hpp"
#include "ops/peak.hpp"
#include "ops/team.hpp"
#include "register.hpp"
#include "training/optimizer.hpp"
#include "training/schedule.hpp"

namespace chainrule::bindings {
namespace {

py::list split(std::string_view names) {
  py::list list;
  while (!names.empty()) {
    const size_t comma = std::min(names.find(','), names.size());
    list.append(py::str(std::string(names.substr(0, comma))));
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return list;
}

py::object parameter_name(std::string_view name) {
  if (name == "none") return py::none();
  return py::str(std::string(name));
}

py::list names_of(const std::vector<const Variant*>& variants) {
  py::list names;
  for (const Variant* variant : variants) names.append(variant->name);
  return names;
}

py::dict activations() {
  py::dict result;
  for (const ActivationInfo& a : kActivations) {
    py::dict row;
    row["saved"] = a.saved == Saved::input ? "input" : "output";
    row["parameter"] = parameter_name(a.parameter);
    row["default"] = a.initial;
    result[py::str(std::string(a.name))] = row;
  }
  return result;
}

py::object outputs_per_target(Outputs outputs) {
  if (outputs == Outputs::per_value) return py::none();
  return py::int_(outputs == Outputs::two ? 2 : 1);
}

py::dict links() {
  py::dict result;
  for (const LinkInfo& l : kLinks) {
    result[py::str(std::string(l.name))] = outputs_per_target(l.outputs);
  }
  return result;
}

py::dict losses() {
  py::dict result;
  for (const LossInfo& l : kLosses) {
    py::dict row;
    row["targets"] = l.targets == Targets::labels ? "labels" : "values";
    row["link"] = py::str(std::string(info(l.link).name));
    row["parameter"] = parameter_name(l.parameter);
    row["default"] = l.initial;
    result[py::str(std::string(l.name))] = row;
  }
  return result;
}

py::dict optimizers() {
  py::dict result;
  for (const OptimizerInfo& o : kOptimizers) {
    result[py::str(std::string(o.name))] = split(o.hyperparameters);
  }
  return result;
}

py::list line_searches() {
  py::list names;
  for (const OptimizerInfo& o : kOptimizers) {
    if (!o.has_step) names.append(py::str(std::string(o.name)));
  }
  return names;
}

py::dict schedules() {
  py::dict result;
  for (const ScheduleInfo& s : kSchedules) {
    result[py::str(std::string(s.name))] = split(s.parameters);
  }
  return result;
}

py::dict build_config() {
  py::dict result;
  for (const auto& [key, value] : kBuildConfig) result[key] = value;
  return result;
}

}  // namespace

void register_runtime(py::module_& module) {
  module.def("activations", activations);
  module.def("links", links);
  module.def("losses", losses);
  module.def("optimizers", optimizers);
  module.def("line_searches", line_searches);
  module.def("schedules", schedules);
  module.def("initializers", [] {
    py::list names;
    for (std::string_view name : kInitializers) names.append(py::str(std::string(name)));
    return names;
  });
  module.def("math_functions", [] {
    py::list names;
    for (std::string_view name : kMathFunctions) names.append(py::str(std::string(name)));
    return names;
  });
  module.def("precisions", [] {
    py::list names;
    for (std::string_view name : kPrecisions) names.append(py::str(std::string(name)));
    return names;
  });
  module.def("has_tiles", [] { return kernels_of_call<float>().bf16->uses_tiles; });
  module.def("compiled_variants", [] { return names_of(compiled_variants()); });
  module.def("variants", [] { return names_of(supported_variants()); });
  module.def("active_variant", [] { return variant_of_call().name; });
  module.def(
      "set_variant", [](const std::string& name) { set_active_variant(variant_named(name)); },
      py::arg("name"));
  module.def(
      "enter_variant", [](const std::string& name) { return enter_variant(variant_named(name)); },
      py::arg("name"));
  module.def("leave_variant", leave_variant, py::arg("token"));
  module.def("build_config", build_config);
  module.def("num_threads", thread_count);
  module.def("set_num_threads", set_thread_count, py::arg("threads"));
  module.def(
      "peak_flops",
      [](int threads, const std::string& dtype) {
        const Variant& variant = variant_of_call();
        return compute([&] {
          return dtype == "float64" ? peak_flops<double>(threads, variant)
                                    : peak_flops<float>(threads, variant);
        });
      },
      py::arg("threads"), py::arg("dtype"));
}

}  // namespace chainrule::bindings

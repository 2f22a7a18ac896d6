"""Golden values of the optimizers (20 steps each) and schedules. Called by make_golden.py."""

import numpy as np
import torch
from elementwise import single
from torch.optim import lr_scheduler

STEPS = 20
SIZE = 37
START = single(np.random.default_rng(5).normal(size=SIZE))
CHECKPOINTS = [1, 2, 3, 5, 10, 20]  # the steps after which parameters are kept


class Lion(torch.optim.Optimizer):
    """Lion as published (Chen et al. 2023, algorithm 2), without its weight decay."""

    def __init__(self, params, lr, betas):
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p -= group["lr"] * torch.sign(beta1 * m + (1 - beta1) * p.grad)
                m.mul_(beta2).add_((1 - beta2) * p.grad)


def make_sgd(p, lr, momentum, nesterov):
    return torch.optim.SGD(p, lr, momentum=momentum, nesterov=nesterov)


def make_rmsprop(p, lr, rho, epsilon, momentum, centered):
    return torch.optim.RMSprop(p, lr, rho, epsilon, momentum=momentum, centered=centered)


def make_adagrad(p, lr, epsilon, initial_accumulator):
    return torch.optim.Adagrad(p, lr, eps=epsilon, initial_accumulator_value=initial_accumulator)


def make_adam(p, lr, beta1, beta2, epsilon, amsgrad):
    return torch.optim.Adam(p, lr, (beta1, beta2), epsilon, amsgrad=amsgrad)


def make_nadam(p, lr, beta1, beta2, epsilon, momentum_decay):
    return torch.optim.NAdam(p, lr, (beta1, beta2), epsilon, momentum_decay=momentum_decay)


def make_lion(p, lr, beta1, beta2):
    return Lion(p, lr, (beta1, beta2))


# Of each optimizer: how to make it, and PyTorch's names of chainrule's state buffers, in order.
OPTIMIZERS = {
    "sgd": (make_sgd, ["momentum_buffer"]),
    "rmsprop": (make_rmsprop, ["square_avg", "momentum_buffer", "grad_avg"]),
    "adagrad": (make_adagrad, ["sum"]),
    "adam": (make_adam, ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
    "adamw": (make_adam, ["exp_avg", "exp_avg_sq"]),
    "nadam": (make_nadam, ["exp_avg", "exp_avg_sq"]),
    "lion": (make_lion, ["exp_avg"]),
}

ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "amsgrad": False}
RMSPROP = {"rho": 0.99, "epsilon": 1e-8, "momentum": 0.0, "centered": False}
NADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "momentum_decay": 0.004}
LION = {"beta1": 0.9, "beta2": 0.99}
MOMENTUM = {"momentum": 0.9, "nesterov": False}


def optimizer_case(name, lr, values, gradients, weight_decay=0.0, clip_norm=0.0, clip_value=0.0):
    make, state_names = OPTIMIZERS[name]
    p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = make([p], lr, **values)
    kept = []
    for t, gradient in enumerate(gradients, 1):
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        if clip_norm:
            torch.nn.utils.clip_grad_norm_([p], clip_norm)
        if clip_value:
            torch.nn.utils.clip_grad_value_([p], clip_value)
        with torch.no_grad():
            p.mul_(1 - lr * weight_decay)  # decoupled, as in AdamW
        optimizer.step()
        if t in CHECKPOINTS:
            kept.append(p.detach().numpy().copy())
    state = optimizer.state[p]
    fields = {
        "config": {
            "name": name,
            "learning_rate": lr,
            "values": values,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "clip_value": clip_value,
        },
        "results": np.array(kept),
    }
    for i, key in enumerate(state_names):
        if state.get(key) is not None:
            fields[f"state_{i}"] = state[key].numpy()
    return fields


def check_adamw(gradients, values, lr, weight_decay, results):
    """The decay by hand above is PyTorch's own."""
    p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    betas = (values["beta1"], values["beta2"])
    optimizer = torch.optim.AdamW([p], lr, betas, values["epsilon"], weight_decay)
    for gradient in gradients:
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    assert np.allclose(p.detach().numpy(), results[-1], rtol=1e-14, atol=0)


def optimizer_cases(rng):
    gradients = rng.normal(size=(STEPS, SIZE)) * 10.0 ** rng.uniform(-4, 1, SIZE)
    gradients[:, 0] = 0  # a parameter that is never used
    gradients[:, 1] = 0.5  # a constant slope
    gradients[3:, 2] = 0  # a parameter that is used no more
    gradients[::2, 3] = 0
    gradients = single(gradients)
    arguments = {
        "sgd": ("sgd", 0.01, {"momentum": 0.0, "nesterov": False}),
        "sgd_momentum": ("sgd", 0.01, MOMENTUM),
        "sgd_nesterov": ("sgd", 0.01, {"momentum": 0.8, "nesterov": True}),
        "sgd_decay": ("sgd", 0.02, MOMENTUM, 0.1),
        "sgd_clip_norm": ("sgd", 0.05, MOMENTUM, 0.0, 1.5),
        "sgd_clip_value": ("sgd", 0.05, {"momentum": 0.0, "nesterov": False}, 0.0, 0.0, 0.3),
        "rmsprop": ("rmsprop", 0.01, RMSPROP),
        "rmsprop_centered": ("rmsprop", 0.01, {**RMSPROP, "centered": True}),
        "rmsprop_momentum": ("rmsprop", 0.01, {**RMSPROP, "momentum": 0.9}),
        "rmsprop_both": (
            "rmsprop",
            0.003,
            {**RMSPROP, "rho": 0.9, "momentum": 0.5, "centered": True},
        ),
        "rmsprop_decay": ("rmsprop", 0.01, RMSPROP, 0.05),
        "adagrad": ("adagrad", 0.01, {"epsilon": 1e-10, "initial_accumulator": 0.0}),
        "adagrad_start": ("adagrad", 0.1, {"epsilon": 1e-6, "initial_accumulator": 0.1}, 0.02),
        "adam": ("adam", 0.001, ADAM),
        "adam_other": ("adam", 0.03, {**ADAM, "beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3}),
        "adam_amsgrad": ("adam", 0.01, {**ADAM, "beta2": 0.7, "amsgrad": True}),
        "adam_clip_value": ("adam", 0.01, ADAM, 0.0, 0.0, 0.5),
        "adam_clip_both": ("adam", 0.01, ADAM, 0.0, 2.0, 0.25),
        "adamw": ("adamw", 0.001, ADAM, 0.01),
        "nadam": ("nadam", 0.002, NADAM),
        "nadam_decay": ("nadam", 0.01, {**NADAM, "momentum_decay": 0.1}, 0.03),
        "lion": ("lion", 0.0001, LION),
        "lion_decay": ("lion", 0.01, {"beta1": 0.8, "beta2": 0.95}, 0.1),
    }
    cases = {"common": {"parameters": START, "gradients": gradients, "checkpoints": CHECKPOINTS}}
    for label, (name, lr, values, *rest) in arguments.items():
        cases[label] = optimizer_case(name, lr, values, gradients, *rest)
    check_adamw(gradients, ADAM, 0.001, 0.01, cases["adamw"]["results"])
    return cases


def rates(make, lr, steps, per=1):
    """Learning rates of the steps; the scheduler moves on after each `per` of them."""
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], lr)
    scheduler = make(optimizer)
    seen = []
    for t in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        if t + 1 < steps and (t + 1) % per == 0:
            optimizer.step()
            scheduler.step()
    return np.array(seen)


def warm_up(optimizer, warm, steps, final):
    linear = lr_scheduler.LinearLR(optimizer, 1 / warm, 1.0, warm - 1)
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, steps - warm, final)
    return lr_scheduler.SequentialLR(optimizer, [linear, cosine], [warm])


def schedule_case(name, lr, values, steps, per, make, per_epoch=False):
    return {
        "config": {
            "name": name,
            "learning_rate": lr,
            "values": values,
            "steps_per_epoch": per,
            "total_steps": steps,
        },
        "rates": rates(make, lr, steps, per if per_epoch else 1),
    }


def schedule_cases():
    def one_cycle(lr, steps, up=0.3, initial=25.0, final=1e4):
        return lambda o: lr_scheduler.OneCycleLR(
            o, lr, steps, pct_start=up, anneal_strategy="cos", cycle_momentum=False,
            div_factor=initial, final_div_factor=final,
        )  # fmt: skip

    def power(exponent):
        return lambda o: lr_scheduler.LambdaLR(o, lambda t: (t + 1) ** -exponent)

    step, exponential = lr_scheduler.StepLR, lr_scheduler.ExponentialLR
    cosine, constant = lr_scheduler.CosineAnnealingLR, lr_scheduler.ConstantLR
    return {
        "constant": schedule_case("constant", 0.3, {}, 6, 2, lambda o: constant(o, 1.0)),
        "step": schedule_case(
            "step", 0.1, {"every": 3, "factor": 0.5}, 70, 7, lambda o: step(o, 3, 0.5), True
        ),
        "exponential": schedule_case(
            "exponential", 0.1, {"decay": 0.9}, 60, 4, lambda o: exponential(o, 0.9), True
        ),
        "inverse_scaling": schedule_case(
            "inverse_scaling", 0.2, {"power": 0.5}, 50, 10, power(0.5)
        ),
        "cosine": schedule_case(
            "cosine", 0.1, {"warmup_fraction": 0.0, "final_fraction": 0.0}, 100, 10,
            lambda o: cosine(o, 100),
        ),
        "cosine_final": schedule_case(
            "cosine", 0.1, {"warmup_fraction": 0.0, "final_fraction": 0.05}, 37, 37,
            lambda o: cosine(o, 37, 0.1 * 0.05),
        ),
        "cosine_warmup": schedule_case(
            "cosine", 0.1, {"warmup_fraction": 0.1, "final_fraction": 0.01}, 100, 20,
            lambda o: warm_up(o, 10, 100, 0.1 * 0.01),
        ),
        "one_cycle": schedule_case(
            "one_cycle", 0.1, {"up_fraction": 0.3, "initial_divisor": 25, "final_divisor": 1e4},
            100, 10, one_cycle(0.1, 100),
        ),
        "one_cycle_other": schedule_case(
            "one_cycle", 2.0, {"up_fraction": 0.21, "initial_divisor": 7, "final_divisor": 30},
            53, 8, one_cycle(2.0, 53, 0.21, 7.0, 30.0),
        ),
        "reduce_on_plateau": plateau_case(),
    }  # fmt: skip


def plateau_case():
    """Rates of the epochs of a training with these losses; best must improve by min_delta."""
    losses = single([5, 4, 4.5, 4.4, 4.3, 3.9995, 3.5, 3.6, 3.7, 3.8, 3.45, 3.45, 3.45, 3.45, 9, 9])
    losses = np.concatenate([losses, single([3, 2, 2, 2, 2, 2, 2, 2, 2, 2])])
    # PyTorch's patience is the number of bad epochs that it lets pass, one less than chainrule's.
    values = {"factor": 0.2, "patience": 3, "min_learning_rate": 0.003, "min_delta": 0.001}
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([p], 0.1)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.2, patience=2, threshold=0.001, threshold_mode="abs", min_lr=0.003
    )
    seen = []
    for loss in losses:
        seen.append(optimizer.param_groups[0]["lr"])
        scheduler.step(float(loss))
    return {
        "config": {"name": "reduce_on_plateau", "learning_rate": 0.1, "values": values},
        "losses": losses,
        "rates": np.array(seen),
    }


def groups():
    rng = np.random.default_rng(4)
    return {"optimizer": optimizer_cases(rng), "schedule": schedule_cases()}

"""SGD, RMSprop and Adam without torch's compiler, bit for bit those of torch.optim (tested).

The constructors of torch.optim import `torch._dynamo`, which takes longer than to train a small network, once in
every process. The kernels below are the ones that torch.optim calls: fused where there are fused ones. Those pair
weights and gradients by their place in memory, whatever their strides, so `aligned` sees to these.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

State = dict[str, Tensor]


class Lean(Optimizer, ABC):
    """An optimiser over one group of parameters, with the state of each by name."""

    DEFAULTS: ClassVar[dict[str, Any]] = {"weight_decay": 0.0}

    def __init__(self, parameters: Iterable[nn.Parameter], **settings: Any) -> None:
        # not the base's constructor: see above
        self.defaults = self.DEFAULTS | settings
        self.param_groups = [{"params": list(parameters), **self.defaults}]
        self.state: dict[Tensor, State] = {}  # type: ignore[assignment]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Of a copy. The base's would wrap `step` of the whole class in hooks, which these do not have."""
        self.__dict__.update(state)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        assert set_to_none
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Settings, and the state of every parameter in their order; tensors are not copied."""
        (group,) = self.param_groups
        settings = {name: value for name, value in group.items() if name != "params"}
        return {"settings": settings, "state": [dict(self.state.get(p, {})) for p in group["params"]]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there, with the same parameters in the same order; tensors are copied to where these lie."""
        (group,) = self.param_groups
        group.update(state_dict["settings"])
        pairs = zip(group["params"], state_dict["state"], strict=True)
        self.state = {
            p: {name: placed(tensor, p) for name, tensor in known.items()} for p, known in pairs if known
        }

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the parameters that have a gradient."""
        group = self.param_groups[0]
        moving = [p for p in group["params"] if p.grad is not None]
        new = [p for p in moving if p not in self.state]
        for parameters in (new, [p for p in moving if p in self.state]) if new else (moving,):
            if parameters:
                for p in parameters:
                    self.state.setdefault(p, {})
                self.move(parameters, [aligned(p) for p in parameters], group, first=parameters is new)

    @abstractmethod
    def move(
        self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any], first: bool
    ) -> None:
        """One step of parameters that have been moved before, or of which this is the first."""

    def kept(self, name: str, parameters: list[Tensor]) -> list[Tensor]:
        """A part of the parameters' state; zeros in the beginning."""
        for p in parameters:
            if name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        return [self.state[p][name] for p in parameters]


def placed(tensor: Tensor, beside: Tensor) -> Tensor:
    """A copy of a parameter's state on its device, and laid out in memory as it is."""
    if tensor.shape != beside.shape:  # a count of steps
        return tensor.to(beside.device, copy=True)
    return torch.empty_like(beside, dtype=tensor.dtype, memory_format=torch.preserve_format).copy_(tensor)


def aligned(parameter: Tensor) -> Tensor:
    """The gradient, in memory as its parameter lies: what `torch.autograd.grad` returns may lie otherwise."""
    gradient = parameter.grad
    assert gradient is not None
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


class Sgd(Lean):
    """torch.optim.SGD(fused=True)."""

    DEFAULTS: ClassVar = Lean.DEFAULTS | {"momentum": 0.0, "nesterov": False}

    def move(
        self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any], first: bool
    ) -> None:
        """With momentum, the first step makes the gradient the velocity."""
        torch._fused_sgd_(
            parameters,
            gradients,
            self.kept("momentum_buffer", parameters) if group["momentum"] else [],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=0.0,
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=first and group["momentum"] != 0,
            grad_scale=None,
            found_inf=None,
        )


class RmsProp(Lean):
    """torch.optim.RMSprop, which has no fused form."""

    DEFAULTS: ClassVar = Lean.DEFAULTS | {"alpha": 0.99, "momentum": 0.0}

    def move(
        self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any], first: bool
    ) -> None:
        """Divided by the root of the running mean of squares, plus 1e-8."""
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        squares = self.kept("square_avg", parameters)
        torch._foreach_mul_(squares, group["alpha"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, 1e-8)
        if group["momentum"]:
            velocity = self.kept("momentum_buffer", parameters)
            torch._foreach_mul_(velocity, group["momentum"])
            torch._foreach_addcdiv_(velocity, gradients, roots)
            torch._foreach_add_(parameters, velocity, alpha=-group["lr"])
        else:
            torch._foreach_addcdiv_(parameters, gradients, roots, value=-group["lr"])


class Adam(Lean):
    """torch.optim.Adam(fused=True)."""

    DEFAULTS: ClassVar = Lean.DEFAULTS | {"betas": (0.9, 0.999)}

    def move(
        self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any], first: bool
    ) -> None:
        """With running means of gradients and their squares, both corrected for their beginning at zero."""
        for p in parameters:
            self.state[p].setdefault("step", torch.zeros((), dtype=torch.float32, device=p.device))
        steps = self.kept("step", parameters)
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            parameters,
            gradients,
            self.kept("exp_avg", parameters),
            self.kept("exp_avg_sq", parameters),
            [],
            steps,
            amsgrad=False,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )


KINDS: dict[str, Callable[..., Lean]] = {"sgd": Sgd, "rmsprop": RmsProp, "adam": Adam}

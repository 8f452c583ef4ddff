"""SGD, RMSprop and Adam without torch's compiler, bit for bit those of torch.optim (tested).

The constructors of torch.optim import `torch._dynamo`, which takes longer than to train a small network, once in
every process. The kernels below are the ones that torch.optim calls: fused where there are fused ones. Those pair
weights and gradients by their position in memory, whatever their strides, so `_align_gradient` matches the strides.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from guidebp.runs.spec import RecipeSpec

OptimiserFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


class OptimiserGroup(TypedDict, total=False):
    """The one group of an optimiser: its parameters, and the settings that its kind has."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float
    momentum: float
    nesterov: bool
    alpha: float
    betas: Sequence[float]


class OptimiserState(TypedDict):
    """The settings, and the tensors of every parameter by name, in the order of the parameters."""

    settings: dict[str, object]
    state: list[dict[str, Tensor]]


class LeanOptimiser(Optimizer, ABC):
    """An optimiser over one group of parameters, with the state of each by name."""

    DEFAULTS: ClassVar[dict[str, object]] = {"weight_decay": 0.0}

    def __init__(self, parameters: Iterable[nn.Parameter], **settings: object) -> None:
        # not the base's constructor: see above
        self.defaults = self.DEFAULTS | settings
        self.param_groups = [{"params": list(parameters), **self.defaults}]
        self.state: dict[Tensor, dict[str, Tensor]] = {}  # type: ignore[assignment]

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore a copy. The base's would wrap `step` of the whole class in hooks, which these do not have."""
        self.__dict__.update(state)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients to None."""
        assert set_to_none
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    def state_dict(self) -> dict[str, object]:
        """An `OptimiserState`; its tensors are not copied."""
        (group,) = self.param_groups
        settings = {name: value for name, value in group.items() if name != "params"}
        return {"settings": settings, "state": [dict(self.state.get(p, {})) for p in group["params"]]}

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Restore an `OptimiserState` of the same parameters in the same order; its tensors are copied."""
        loaded = cast(OptimiserState, state_dict)
        (group,) = self.param_groups
        group.update(loaded["settings"])
        pairs = zip(group["params"], loaded["state"], strict=True)
        self.state = {
            p: {name: _copy_to_layout(tensor, p) for name, tensor in tensors.items()}
            for p, tensors in pairs
            if tensors
        }

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the parameters that have a gradient."""
        group = cast(OptimiserGroup, self.param_groups[0])
        parameters = [p for p in group["params"] if p.grad is not None]
        fresh = [p for p in parameters if p not in self.state]
        if not fresh:
            self._update_all(parameters, group, first=False)
            return
        older = [p for p in parameters if p in self.state]
        self._update_all(fresh, group, first=True)
        self._update_all(older, group, first=False)

    def _update_all(self, parameters: list[nn.Parameter], group: OptimiserGroup, first: bool) -> None:
        if parameters:
            for p in parameters:
                self.state.setdefault(p, {})
            self.update(list[Tensor](parameters), [_align_gradient(p) for p in parameters], group, first)

    @abstractmethod
    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], group: OptimiserGroup, first: bool
    ) -> None:
        """One step of parameters that all have been updated before, or that all have their first step."""

    def get_state(self, name: str, parameters: list[Tensor]) -> list[Tensor]:
        """The tensors of one name of the parameters' state; zeros in the beginning."""
        for p in parameters:
            if name not in self.state[p]:
                self.state[p][name] = torch.zeros_like(p, memory_format=torch.preserve_format)
        return [self.state[p][name] for p in parameters]


def _copy_to_layout(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A copy of a parameter's state on its device and in its memory layout."""
    if tensor.shape != parameter.shape:  # a count of steps
        return tensor.to(parameter.device, copy=True)
    return torch.empty_like(parameter, dtype=tensor.dtype, memory_format=torch.preserve_format).copy_(tensor)


def _align_gradient(parameter: Tensor) -> Tensor:
    """The gradient in the memory layout of its parameter; that of `torch.autograd.grad` may differ."""
    gradient = parameter.grad
    assert gradient is not None
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)


class Sgd(LeanOptimiser):
    """torch.optim.SGD(fused=True)."""

    DEFAULTS: ClassVar = LeanOptimiser.DEFAULTS | {"momentum": 0.0, "nesterov": False}

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], group: OptimiserGroup, first: bool
    ) -> None:
        """With momentum, the velocity starts as the first gradient."""
        torch._fused_sgd_(
            parameters,
            gradients,
            self.get_state("momentum_buffer", parameters) if group["momentum"] else [],
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


class RmsProp(LeanOptimiser):
    """torch.optim.RMSprop, which has no fused form."""

    DEFAULTS: ClassVar = LeanOptimiser.DEFAULTS | {"alpha": 0.99, "momentum": 0.0}

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], group: OptimiserGroup, first: bool
    ) -> None:
        """Divide the gradient by the root of its running mean square, plus 1e-8."""
        if group["weight_decay"]:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        squares = self.get_state("square_avg", parameters)
        torch._foreach_mul_(squares, group["alpha"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, 1e-8)
        if group["momentum"]:
            velocity = self.get_state("momentum_buffer", parameters)
            torch._foreach_mul_(velocity, group["momentum"])
            torch._foreach_addcdiv_(velocity, gradients, roots)
            torch._foreach_add_(parameters, velocity, alpha=-group["lr"])
        else:
            torch._foreach_addcdiv_(parameters, gradients, roots, value=-group["lr"])


class Adam(LeanOptimiser):
    """torch.optim.Adam(fused=True)."""

    DEFAULTS: ClassVar = LeanOptimiser.DEFAULTS | {"betas": (0.9, 0.999)}

    def update(
        self, parameters: list[Tensor], gradients: list[Tensor], group: OptimiserGroup, first: bool
    ) -> None:
        """Use running means of gradients and their squares, both corrected for their start at zero."""
        for p in parameters:
            self.state[p].setdefault("step", torch.zeros((), dtype=torch.float32, device=p.device))
        steps = self.get_state("step", parameters)
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            parameters,
            gradients,
            self.get_state("exp_avg", parameters),
            self.get_state("exp_avg_sq", parameters),
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


OPTIMISERS: dict[str, type[LeanOptimiser]] = {"sgd": Sgd, "rmsprop": RmsProp, "adam": Adam}


def make_optimiser_factory(recipe: RecipeSpec) -> OptimiserFactory:
    """Return a function that makes the recipe's optimiser of given parameters.

    Raises ValueError for a setting that the optimiser does not have.
    """
    optimiser = recipe.optimiser
    kind = OPTIMISERS[optimiser.name]
    if unknown := optimiser.settings.keys() - kind.DEFAULTS.keys():
        raise ValueError(f"{optimiser.name} has no setting '{min(unknown)}'")

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        return kind(parameters, lr=optimiser.lr, **optimiser.settings)

    return make

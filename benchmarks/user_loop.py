"""The training loop that a user of torchvision would write: what throughput is compared with."""

import os
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision.transforms as T
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from guidebp.data.prepared import Prepared
from guidebp.models import build_network
from guidebp.runs.spec import RunSpec


class Images(Dataset[tuple[Any, int]]):
    """Images as torchvision's CIFAR10 holds and gives them: an array, a PIL image, a transform."""

    def __init__(self, data: Prepared, transform: Any) -> None:
        self.data: NDArray[np.uint8] = data.images.permute(0, 2, 3, 1).numpy()
        self.targets = data.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image = self.data[index]
        picture = Image.fromarray(image if image.shape[2] > 1 else image[:, :, 0])
        return self.transform(picture), self.targets[index]


class Loop:
    """Epoch after epoch: DataLoader with a worker per core, fp32, a look at the loss in every step."""

    def __init__(self, spec: RunSpec, data: Prepared, device: torch.device) -> None:
        recipe, channels = spec.recipe, data.images.shape[1]
        size = data.images.shape[2]
        changes = [T.RandomCrop(size, padding=4), T.RandomHorizontalFlip()] if recipe.augmentation else []
        normalise = T.Normalize((0.5,) * channels, (0.25,) * channels)
        images = Images(data, T.Compose([*changes, T.ToTensor(), normalise]))
        self.loader = DataLoader(
            images,
            batch_size=recipe.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=os.cpu_count() or 1,
            persistent_workers=True,
            pin_memory=device.type == "cuda",
        )
        shape = (channels, size, int(data.images.shape[3]))
        self.network = build_network(spec.architecture, shape, spec.dataset.classes).to(device)
        settings: dict[str, Any] = recipe.optimiser.settings
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=recipe.optimiser.lr, **settings)
        self.device = device

    def epoch(self) -> float:
        """Train on every image once; the mean loss."""
        self.network.train()
        total = 0.0
        for images, labels in self.loader:
            images, labels = images.to(self.device), labels.to(self.device)
            self.optimiser.zero_grad()
            loss = F.cross_entropy(torch.stack(self.network.outputs(images)).mean(0), labels)
            loss.backward()
            self.optimiser.step()
            total += loss.item()
        return total / len(self.loader)

    def images_per_second(self, seconds: float) -> float:
        """Over whole epochs that take at least so long."""
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            self.epoch()
            count += len(self.loader) * int(self.loader.batch_size or 0)
        return count / (time.perf_counter() - started)

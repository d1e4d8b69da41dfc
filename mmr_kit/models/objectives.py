"""What a training step minimises: CE, BE, JOINT (paper, section 3) and the pretraining that stands in for OSCAR's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mmr_kit.models.batches import TrainingPairs
from mmr_kit.models.losses import NegativeSchedule, contrastive_loss, match_loss, mined_triplet_loss, triplet_loss
from mmr_kit.models.mining import Miner
from mmr_kit.models.retrieval_model import RetrievalModel
from mmr_kit.models.watching import Level

Losses = dict[str, Tensor]


class Objective:
    """A training objective for a model: what `train` calls. Batches depend on the seed of `pairs` and the step alone."""

    def __init__(self, model: RetrievalModel, pairs: TrainingPairs) -> None:
        self.model, self.pairs = model, pairs

    def parts(self, step: int) -> list[Callable[[], Losses]]:
        """The losses of a step, one function a forward pass: each is backpropagated before the next is computed, which halves JOINT's memory."""
        raise NotImplementedError

    def report(self) -> dict[str, float]:
        """Figures for the progress line beside the losses."""
        return {}

    def levels(self) -> dict[str, Level]:
        """What each loss is for a model that knows nothing."""
        return {}

    def state(self) -> dict[str, float]:
        """What a resumed training needs beside model and optimiser."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:
        """Take in what `state` gave."""


class CrossEncoding(Objective):
    """CE: binary match loss on as many replaced as matching pairs (section 3.1), replaced at random or by what `miner` finds near (footnote 13)."""

    def __init__(self, model: RetrievalModel, pairs: TrainingPairs, miner: Miner | None = None) -> None:
        super().__init__(model, pairs)
        self.miner = miner

    def parts(self, step: int) -> list[Callable[[], Losses]]:
        return [lambda: self._match(step)]

    def _match(self, step: int) -> Losses:
        batch = self.pairs.with_replaced(step, self.miner)
        logits = self.model.match_logits(batch.captions, batch.images)
        return {"match loss": match_loss(logits, torch.from_numpy(batch.matches.astype(np.int64)).to(logits.device))}

    def levels(self) -> dict[str, Level]:
        return {"match loss": Level(math.log(2))}


class BiEncoding(Objective):
    """BE: triplet loss with in-batch hard negatives (section 3.2).

    refresh_every: 0, or the steps after which near wrong items of the whole training set are searched for anew and serve as negatives instead (ANCE,
    footnote 12); it must be the interval of the checkpoints, so that a resumed training searches with the same weights.
    """

    def __init__(self, model: RetrievalModel, pairs: TrainingPairs, margin: float, schedule: NegativeSchedule, refresh_every: int = 0) -> None:
        super().__init__(model, pairs)
        self.margin, self.schedule, self.refresh_every = margin, schedule, refresh_every
        self._miner: Miner | None = None

    def parts(self, step: int) -> list[Callable[[], Losses]]:
        return [lambda: self._mined_triplet(step) if self.refresh_every else self._triplet(step)]

    def _triplet(self, step: int) -> Losses:
        captions, images, no_negative = self.pairs.matching(step)
        generator = torch.Generator().manual_seed(self.pairs.seed * 1_000_003 + step)
        of_captions, of_images = self.model.embeddings(captions, None), self.model.embeddings(None, images)
        loss, share = triplet_loss(of_images, of_captions, torch.from_numpy(no_negative).to(of_images.device), self.schedule.count(len(captions)),
                                   self.margin, generator)
        self.schedule.update(share, len(captions))
        return {"triplet loss": loss}

    def _mined_triplet(self, step: int) -> Losses:
        if self._miner is None or step % self.refresh_every == 0:
            self._miner = Miner(self.model, self.pairs.dataset)
        captions, images, _ = self.pairs.matching(step)
        wrong_captions, wrong_images = self.pairs.mined(step, self._miner)
        of_captions = self.model.embeddings([*captions, *wrong_captions], None).split([len(captions), len(wrong_captions)])
        of_images = self.model.embeddings(None, [*images, *wrong_images]).split([len(images), len(wrong_images)])
        return {"triplet loss": mined_triplet_loss(of_images[0], of_captions[0], of_images[1], of_captions[1], self.margin)}

    def report(self) -> dict[str, float]:
        return {} if self.refresh_every else {"N": self.schedule.count(self.pairs.batch_size)}

    def levels(self) -> dict[str, Level]:
        """None with mined negatives: they may be as near as the right item until they are searched for anew."""
        return {} if self.refresh_every else {"triplet loss": Level(2 * self.margin, plateau=True)}

    def state(self) -> dict[str, float]:
        return {"size": self.schedule.size, "share": self.schedule.share}

    def load_state(self, state: dict[str, float]) -> None:
        self.schedule.size, self.schedule.share = state["size"], state["share"]


class Joint(BiEncoding):
    """JOINT: the same weights, one BE batch and one CE batch a step (section 3.4)."""

    def __init__(self, bi_encoding: BiEncoding, cross_encoding: CrossEncoding) -> None:
        super().__init__(bi_encoding.model, bi_encoding.pairs, bi_encoding.margin, bi_encoding.schedule, bi_encoding.refresh_every)
        self.cross_encoding = cross_encoding

    def parts(self, step: int) -> list[Callable[[], Losses]]:
        return super().parts(step) + self.cross_encoding.parts(step)

    def levels(self) -> dict[str, Level]:
        return super().levels() | self.cross_encoding.levels()


class Pretraining(Objective):
    """The generated world's stand-in for OSCAR's pretraining: contrastive alignment of the embeddings and the match loss, over scenes of both domains.

    It gives BE and CE a start each, so that fine-tuning can follow the paper: from scratch the hardest negatives of the triplet loss make a small model
    collapse, and the match loss alone is slow to find out which word names which object.
    """

    def __init__(self, alignment_pairs: TrainingPairs, cross_encoding: CrossEncoding, temperature: float = 0.05) -> None:
        super().__init__(cross_encoding.model, alignment_pairs)
        self.cross_encoding, self.temperature = cross_encoding, temperature

    def parts(self, step: int) -> list[Callable[[], Losses]]:
        return [lambda: self._align(step), *self.cross_encoding.parts(step)]

    def levels(self) -> dict[str, Level]:
        return {"alignment loss": Level(math.log(self.pairs.batch_size))} | self.cross_encoding.levels()

    def _align(self, step: int) -> Losses:
        captions, images, no_negative = self.pairs.matching(step)
        of_captions, of_images = self.model.embeddings(captions, None), self.model.embeddings(None, images)
        excluded = torch.from_numpy(no_negative).to(of_images.device)
        return {"alignment loss": contrastive_loss(of_images, of_captions, excluded, self.temperature)}

"""A generated world of pictogram scenes with captions in four languages: data that any machine can make in seconds."""

from mmr_kit.data.pictograms.lexicon import vocabulary
from mmr_kit.data.pictograms.world import WorldFacts, WorldSpec, build_world, source_identity

__all__ = ["WorldFacts", "WorldSpec", "build_world", "source_identity", "vocabulary"]

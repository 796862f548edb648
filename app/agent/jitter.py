"""Randomness of pauses, so that a fleet that was struck by one event does not come back in one moment."""

from random import SystemRandom

between = SystemRandom().uniform

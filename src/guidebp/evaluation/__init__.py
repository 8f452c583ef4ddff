"""Evaluation of a network: its outputs, their calibration and cost, early exit, and conflicts between gradients."""

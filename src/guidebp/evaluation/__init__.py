"""Evaluation of a trained network: accuracies and predictions of every output."""

"""Replicas of a partition: which are in sync, which one leads, and how those that fell behind come back."""

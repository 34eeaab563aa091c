"""Checkpoints: one reader, one writer, what files say of their tensors, and conversion jobs."""

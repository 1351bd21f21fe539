"""Names of all Prometheus metrics."""

from __future__ import annotations

STEP = "finetune_step"
LOSS = "finetune_loss"
LEARNING_RATE = "finetune_learning_rate"
GRADIENT_NORM = "finetune_gradient_norm"
TOKENS = "finetune_tokens"
"""Counter; exposed with the suffix _total; label kind: target, context, padding."""
STEP_DURATION = "finetune_step_duration_seconds"
RANK_STEP_SECONDS = "finetune_rank_step_seconds"
CURRICULUM_PROBABILITY = "finetune_curriculum_probability"
CURRICULUM_REWARD = "finetune_curriculum_reward"
ARM_TOKENS = "finetune_arm_tokens"
ARM_LOSS = "finetune_arm_loss"
CHECKPOINT_DURATION = "finetune_checkpoint_duration_seconds"
CHECKPOINT_SIZE = "finetune_checkpoint_size_bytes"
LAST_CHECKPOINT = "finetune_last_checkpoint_timestamp_seconds"
LAST_STEP = "finetune_last_step_timestamp_seconds"
TIME = "finetune_time_seconds"
"""Counter; label kind: productive, startup, data, checkpoint, evaluation, recompute, idle."""
NONFINITE_STEPS = "finetune_nonfinite_steps"
VALIDATION_LOSS = "finetune_validation_loss"
VALIDATION_SCORE = "finetune_validation_score"

TRAINER_LABELS = ("finetunejob", "stage", "attempt")

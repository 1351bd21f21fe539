"""`finetune`: run, plan, watch and explain fine-tuning jobs."""

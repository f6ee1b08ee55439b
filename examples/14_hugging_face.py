"""Hugging Face: rank, alpha, learning rate and warm-up of LoRA, by the transformers trainer."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import evotune as et
from evotune.integrations.huggingface import hf_objective

tokens = torch.randint(2, 50, (600, 12), generator=torch.Generator().manual_seed(0))
data = [{"input_ids": row, "labels": int(row[0] > 25)} for row in tokens]  # nothing is downloaded
sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
config = BertConfig(vocab_size=50, hidden_size=32, num_labels=2, **sizes)
quiet = {"report_to": [], "disable_tqdm": True, "logging_strategy": "no", "save_strategy": "no"}


def trainer(trial):
    lora = LoraConfig("SEQ_CLS", r=trial.params["rank"], lora_alpha=trial.params["alpha"])
    arguments = TrainingArguments(
        **quiet, num_train_epochs=2, learning_rate=trial.params["lr"], eval_strategy="epoch",
        warmup_steps=trial.params["warmup"], per_device_train_batch_size=32, use_cpu=True,
    )  # fmt: skip
    model = get_peft_model(BertForSequenceClassification(config), lora)
    return Trainer(model, arguments, train_dataset=data[:500], eval_dataset=data[500:])


space = et.Space(
    rank=et.Int(1, 16, log=True), alpha=et.Int(4, 64, log=True),
    lr=et.Float(1e-4, 1e-1, log=True), warmup=et.Int(0, 20),
)  # fmt: skip
study = et.tune(hf_objective(trainer), space, "min eval_loss", trials=6, seed=1)
print(f"loss {study.best.metrics['eval_loss']:.3f} with {study.best.params}")

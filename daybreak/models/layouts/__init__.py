"""Layouts: what a class of transformers writes into config.json, and the shape that this is."""

# What a folder may name in `architectures`, by its model_type.
CLASSES = {
    "qwen2": ("Qwen2ForCausalLM",),
    "qwen3": ("Qwen3ForCausalLM",),
    "llama": ("LlamaForCausalLM",),
    "gpt2": ("GPT2LMHeadModel",),
    "nanochat": ("NanoChatForCausalLM",),
    "bert": ("BertForMaskedLM", "BertForPreTraining"),
    "modernbert": ("ModernBertForMaskedLM",),
    "t5": ("T5ForConditionalGeneration", "T5WithLMHeadModel"),
}

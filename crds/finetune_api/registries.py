"""What there is, by name: the names that a manifest may use, and where the trainer implements each.

One row a thing: a new metric is a file in `finetune_trainer/metrics` and a row here. Enumerations of the API, what is
refused as not supported, and the trainer's registries are all made from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from finetune_api.registry_rows import (
    ANYTHING,
    DecodingMethod,
    Diagnostic,
    Entry,
    Method,
    Metric,
    ObjectiveRow,
    Probe,
    RivalType,
    SourceFormat,
    Task,
)

_TABLES = ("Parallel", "Text", "Labelled")

SOURCE_FORMATS: Mapping[str, SourceFormat] = {
    "tsv": SourceFormat(implementation=".delimited:read_tsv", endings=(".tsv",), holds=_TABLES, has_columns=True),
    "csv": SourceFormat(implementation=".delimited:read_csv", endings=(".csv",), holds=_TABLES, has_columns=True),
    "jsonl": SourceFormat(
        implementation=".jsonl:read_jsonl",
        endings=(".jsonl", ".ndjson"),
        holds=("Parallel", "Text", "Instruction", "Labelled", "QuestionAnswering"),
        has_columns=True,
    ),
    "squad": SourceFormat(implementation=".squad:read_squad", endings=(".json",), holds=("QuestionAnswering",)),
    "parquet": SourceFormat(
        implementation=".parquet:read_parquet", endings=(".parquet",), holds=_TABLES, has_columns=True
    ),
    "moses": SourceFormat(implementation=".moses:read_moses", holds=("Parallel",)),
    "text": SourceFormat(implementation=".text:read_text", endings=(".txt",), holds=("Text",)),
    "tmx": SourceFormat(implementation=".tmx:read_tmx", endings=(".tmx",)),
    "gettext": SourceFormat(
        implementation=".gettext:read_gettext",
        endings=(".po", ".mo", ".whl", ".zip", ".tar", ".tgz", ".tbz2", ".txz"),
        holds=("Parallel",),
    ),
    "conll": SourceFormat(
        implementation=".conll:read_conll", endings=(".conll", ".iob", ".iob2", ".bio"), holds=("CoNLL",)
    ),
    "huggingface": SourceFormat(
        implementation=".huggingface:read_huggingface",
        holds=("Parallel", "Text", "Instruction", "Labelled", "QuestionAnswering"),
        has_columns=True,
    ),
}
"""Readers in `finetune_trainer.data.sources`."""

STORES: Mapping[str, Entry] = {
    "hf": Entry(),
    "pvc": Entry(implementation=".local:claim_path"),
    "file": Entry(implementation=".local:file_path"),
    "s3": Entry(),
}
"""Schemes of URIs; stores in `finetune_trainer.workspace.stores`. Data sets of the hub are read by their format."""

OBJECTIVES: Mapping[str, ObjectiveRow] = {
    "CausalLM": ObjectiveRow(implementation=".causal_lm:CausalLM"),
    "Denoising": ObjectiveRow(),
    "Translation": ObjectiveRow(implementation=".translation:Translation"),
    "SequenceClassification": ObjectiveRow(
        implementation=".sequence_classification:SequenceClassification", pretrains=False
    ),
    "TokenClassification": ObjectiveRow(implementation=".token_classification:TokenClassification", pretrains=False),
    "SpanExtraction": ObjectiveRow(implementation=".span_extraction:SpanExtraction", pretrains=False),
}
"""Arms of pre-training, and what tasks train heads with, in `finetune_trainer.objectives`."""

CURRICULA: Mapping[str, Entry] = {
    "Fixed": Entry(implementation=".fixed:Fixed"),
    "Temperature": Entry(),
    "EXP3": Entry(),
    "EXP3S": Entry(),
    "FAIR": Entry(implementation=".fair:Fair"),
    "ODM": Entry(),
    "DoReMi": Entry(),
}
"""Strategies in `finetune_trainer.curriculum`."""

METHODS: Mapping[str, Method] = {
    "Full": Method(implementation=".full:Full"),
    "LoRA": Method(implementation=".lora:Lora", adapter=True),
    "QLoRA": Method(implementation=".qlora:QLoRA", adapter=True, four_bits=True),
    "DoRA": Method(implementation=".lora:Lora", adapter=True, magnitudes=True),
    "HeadOnly": Method(implementation=".partial:HeadOnly", part="Head"),
    "FixEmbeddings": Method(implementation=".partial:FixEmbeddings", part="Body"),
    "TopLayers": Method(implementation=".partial:TopLayers", part="TopLayers"),
}
"""Methods of adaptation, in `finetune_trainer.methods`."""

PROMPTS: Mapping[str, Entry] = {
    "AdaptiveMT": Entry(implementation=".adaptive_mt:AdaptiveMtPrompt"),
    "ALMA": Entry(implementation=".alma:AlmaPrompt"),
    "Alpaca": Entry(implementation=".alpaca:AlpacaPrompt"),
    "ParroT": Entry(implementation=".alpaca:ParrotPrompt"),
    "TIM": Entry(implementation=".alpaca:TimPrompt"),
    "DiPMT": Entry(implementation=".dipmt:DipmtPrompt"),
    "Chat": Entry(implementation=".chat:ChatPrompt"),
    "Custom": Entry(implementation=".custom:CustomPrompt"),
}
"""Templates of pairs, in `finetune_trainer.prompts`."""

CONVERSATIONS: Mapping[str, Entry] = {
    "Chat": Entry(implementation=".chat:ChatConversations"),
    "Plain": Entry(implementation=".plain:PlainConversations"),
}
"""Templates of conversations, in `finetune_trainer.prompts.conversations`."""

QUESTIONS: Mapping[str, Entry] = {
    "Chat": Entry(implementation=".chat:ChatQuestions"),
    "Plain": Entry(implementation=".plain:PlainQuestions"),
}
"""Templates of questions about texts, in `finetune_trainer.prompts.questions`."""

DIAGNOSTICS: Mapping[str, Diagnostic] = {
    "offTarget": Diagnostic(title="Off target", meaning="looks like the source language"),
    "copies": Diagnostic(title="Copies", meaning="equal to the source"),
    "empty": Diagnostic(title="Empty", meaning="no output", expected=(0.0, 0.01)),
    "repetition": Diagnostic(title="Repetition", meaning="the same words over and over"),
    "lengthRatio": Diagnostic(
        title="Length ratio",
        meaning="characters of output / reference; 1 is right",
        unit="Ratio",
        expected=(0.7, 1.4),
        usable=(0.5, 2.0),
    ),
    "numbersLost": Diagnostic(title="Numbers lost", meaning="of the segments with a number to keep", usable=ANYTHING),
    "placeholdersLost": Diagnostic(
        title="Placeholders lost",
        meaning="of the segments with %s, {0} or the like",
        expected=(0.0, 0.01),
        usable=ANYTHING,
    ),
    "unanswered": Diagnostic(
        title="Unanswered",
        meaning="no answer, of the questions whose context has one",
        usable=ANYTHING,
    ),
    "notInContext": Diagnostic(title="Not in the context", meaning="of the answers given", usable=ANYTHING),
    "tagsLost": Diagnostic(
        title="Tags lost", meaning="of the segments with markup to keep", expected=(0.0, 0.01), usable=ANYTHING
    ),
    "termsLost": Diagnostic(
        title="Terms lost", meaning="of the segments with a term of the dictionary", usable=ANYTHING
    ),
    "genderGap": Diagnostic(
        title="Gender gap",
        meaning="difference of masculine and feminine outputs, of the sentences of a bias probe that became either",
        expected=ANYTHING,
        usable=ANYTHING,
    ),
}
"""Reasons for ranges that are not the usual ones. Empty: no detector is needed, so there is no error to allow for, and
one in a hundred is what a test set may hold by mistake; of placeholders and tags likewise. What is lost makes no model
unusable: the shares are of few segments, and how much a number matters is the gate's to say. Gender gap: either form
is right, so no size of it is a failure of one output; it is compared with the baseline's. How often to say that a
context does not answer is a matter of taste, and an answer in other words than the context's may be right. Length
ratio: good systems are at 0.93 to 0.99 (five of WMT22 de-en); below a half most of the text is missing, above twice
most of the output is nobody's text.
"""

FEW_SEGMENTS = 100
"""With fewer segments the report warns: at 100 sentences of WMT22 de-en the 95 % intervals are 6 points of chrF++ wide
for a score and 4 for a difference of two good systems, and they grow as the root of the number shrinks."""

TASKS: Mapping[str, Task] = {
    "Translation": Task(
        implementation=".translation.task:TranslationTask",
        segment_metric="chrF++",
        scored_in_training=True,
        diagnostics=(
            "offTarget",
            "copies",
            "empty",
            "repetition",
            "lengthRatio",
            "numbersLost",
            "placeholdersLost",
            "tagsLost",
            "termsLost",
            "genderGap",
        ),
    ),
    "LanguageModelling": Task(
        implementation=".language_modelling:LanguageModellingTask",
        segment_metric="BitsPerByte",
        source_type="Text",
        trains=False,
        has_shots=False,
        measures_texts=True,
        leads=False,
    ),
    "Generation": Task(
        implementation=".generation.task:GenerationTask",
        segment_metric="TokenF1",
        scored_in_training=True,
        source_type="Instruction",
        diagnostics=("empty",),
        has_shots=False,
        has_floors=False,
    ),
    "QuestionAnswering": Task(
        implementation=".question_answering.task:QuestionAnsweringTask",
        segment_metric="TokenF1",
        source_type="QuestionAnswering",
        diagnostics=("unanswered", "notInContext"),
        has_shots=False,
        has_floors=False,
        has_alternatives=True,
    ),
    "ExtractiveQuestionAnswering": Task(
        implementation=".question_answering.extractive:ExtractiveTask",
        segment_metric="TokenF1",
        source_type="QuestionAnswering",
        diagnostics=("unanswered",),
        has_shots=False,
        has_prompts=False,
        has_floors=False,
        has_alternatives=True,
        model_class="AutoModelForQuestionAnswering",
        needs_encoder=True,
        has_guess=False,
    ),
    "Classification": Task(
        implementation=".classification.texts:ClassificationTask",
        segment_metric="Accuracy",
        source_type="Labelled",
        has_shots=False,
        has_prompts=False,
        has_floors=False,
        model_class="AutoModelForSequenceClassification",
    ),
    "TokenClassification": Task(
        implementation=".classification.words:TokenClassificationTask",
        segment_metric="TokenAccuracy",
        source_type="CoNLL",
        has_shots=False,
        has_prompts=False,
        has_floors=False,
        model_class="AutoModelForTokenClassification",
    ),
}
"""Task types in `finetune_trainer.tasks`."""

METRICS: Mapping[str, Metric] = {
    "BLEU": Metric(
        implementation=".sacrebleu:Bleu",
        lexical=True,
        tasks=("Translation",),
        unusable_at=5.0,
        meaning="How many runs of one to four words the outputs share with the references, 0 to 100; too short outputs "
        "lose. Compare it only where the test set and the tokenisation are the same.",
    ),
    "chrF++": Metric(
        implementation=".sacrebleu:ChrFPlusPlus",
        lexical=True,
        tasks=("Translation",),
        unusable_at=15.0,
        meaning="How many runs of up to six characters and two words the outputs share with the references, 0 to 100. "
        "It rewards the right stem with a wrong ending, which BLEU does not.",
    ),
    "chrF": Metric(
        implementation=".sacrebleu:ChrF",
        lexical=True,
        tasks=("Translation", "Generation"),
        unusable_at=15.0,
        meaning="How many runs of up to six characters the outputs share with the references, 0 to 100.",
    ),
    "TER": Metric(
        implementation=".sacrebleu:Ter",
        lexical=True,
        tasks=("Translation",),
        lower_is_better=True,
        unusable_at=100.0,
        meaning="Edits that make the outputs the references, in hundredths of the references' words; a moved phrase is "
        "one edit. Less is better, and it may pass 100.",
    ),
    "BitsPerByte": Metric(
        implementation=".bits_per_byte:BitsPerByte",
        tasks=("LanguageModelling",),
        lower_is_better=True,
        digits=4,
        meaning="How many bits the model needs to tell each byte of a text; less is better, whatever its vocabulary.",
    ),
    "ExactMatch": Metric(
        implementation=".answers:ExactMatch",
        tasks=("Generation", "QuestionAnswering", "ExtractiveQuestionAnswering"),
        meaning="Of a hundred answers, those that are a reference but for case, punctuation and articles.",
    ),
    "TokenF1": Metric(
        implementation=".answers:TokenF1",
        tasks=("Generation", "QuestionAnswering", "ExtractiveQuestionAnswering"),
        meaning="How many words an answer shares with the nearest reference, 0 to 100, the mean over all: SQuAD's F1.",
    ),
    "COMET": Metric(
        implementation=".neural:SegmentMean",
        tasks=("Translation",),
        neural=True,
        digits=4,
        meaning="What a neural model thinks of each translation, given its source and reference: the mean over the "
        "segments. The signature names the model and its version; figures of different models cannot be compared.",
    ),
    "F1": Metric(
        implementation=".labels:MacroF1",
        tasks=("Classification",),
        meaning="How well each label is found and no other taken for it, 0 to 100; the mean over the labels, rare ones "
        "counting as much as frequent ones (macro).",
    ),
    "MicroF1": Metric(
        implementation=".labels:MicroF1",
        tasks=("Classification",),
        meaning="F1 of all labels counted together, 0 to 100; where each text has one label it is the accuracy.",
    ),
    "WeightedF1": Metric(
        implementation=".labels:WeightedF1",
        tasks=("Classification",),
        meaning="As F1, but a label counts by the texts that have it.",
    ),
    "Accuracy": Metric(
        implementation=".labels:Accuracy",
        tasks=("Classification",),
        meaning="Of a hundred texts, those whose label is right; where a text has several, all of them and no others.",
    ),
    "EntityF1": Metric(
        implementation=".entities:EntityF1",
        tasks=("TokenClassification",),
        meaning="How many entities are found with their type and both ends, and how many of those found are some, 0 to "
        "100 (strict, IOB2).",
    ),
    "TokenAccuracy": Metric(
        implementation=".entities:TokenAccuracy",
        tasks=("TokenClassification",),
        meaning="Of a hundred words, those whose tag is right. Most words are no entity, so finding none scores high.",
    ),
    "Perplexity": Metric(tasks=("Generation",), lower_is_better=True),
}
"""Scores in `finetune_trainer.metrics`.

Reasons of `unusable_at`. Who answers each segment with the reference of the next one, in the right language and of no
use, reaches chrF++ 14 to 18, chrF 17 to 21, BLEU 0.1 to 2.1 (300 segments each of FLORES-200 en and de, medical es,
Multi30k de, and Icelandic news), and 11, 13 and 1.1 on short texts of user interfaces; copying English where German is
asked for reaches BLEU 4.1. chrF stays at 15, for in Chinese and Japanese its scale is half as long. TER 100: as many
edits as the reference has words, so writing anew is no more work. The others depend on the questions, the classes or
the tokenizer.
"""

_WITH_HEADS = ("ExtractiveQuestionAnswering", "Classification", "TokenClassification")

RIVALS: Mapping[str, RivalType] = {
    "Model": RivalType(
        implementation=".model:open_model",
        needs="model",
        tasks=("Translation", "LanguageModelling", "Generation", "QuestionAnswering", *_WITH_HEADS),
    ),
    "EncoderDecoder": RivalType(implementation=".encoder_decoder:open_encoder_decoder", needs="model"),
    "Hypotheses": RivalType(
        implementation=".hypotheses:open_hypotheses",
        needs="hypotheses",
        tasks=("Translation", "Generation", "QuestionAnswering", *_WITH_HEADS),
    ),
    "FuzzyMatch": RivalType(implementation=".fuzzy_match:open_fuzzy_match"),
}
"""Systems beside the baseline, in `finetune_trainer.evaluation.rivals`."""

PROBES: Mapping[str, Probe] = {
    "GenderAmbiguous": Probe(
        implementation=".gender_ambiguous.probe:GenderAmbiguous", targets=("es", "fr", "de"), diagnostic="genderGap"
    ),
}
"""Bias probes, in `finetune_trainer.evaluation.probes`."""
_DRAWN = ("temperature", "topP", "seed")

DECODINGS: Mapping[str, DecodingMethod] = {
    "Greedy": DecodingMethod(implementation=".greedy:Greedy"),
    "Beam": DecodingMethod(implementation=".beam:Beam", fields=("beams", "lengthPenalty")),
    "Sampling": DecodingMethod(implementation=".sampling:Sampling", fields=_DRAWN),
    "MBR": DecodingMethod(implementation=".mbr:MinimumBayesRisk", fields=("samples", *_DRAWN)),
}
"""Ways of decoding, in `finetune_trainer.decoding.searches`."""

NOISES: Mapping[str, Entry] = {
    "Case": Entry(implementation=".case:small_letters"),
    "Typos": Entry(implementation=".typos:with_typos"),
    "Diacritics": Entry(implementation=".diacritics:without_diacritics"),
}
"""What robustness is tested with, in `finetune_trainer.evaluation.noises`."""

TRACKERS: Mapping[str, Entry] = {"History": Entry(implementation=".history:History")}
"""Where curves go, in `finetune_trainer.run.trackers`; no field of the API names them."""


def templates_of(task: str) -> Mapping[str, Entry]:
    """The prompt templates that a task type can have."""
    by_source = {"Instruction": CONVERSATIONS, "QuestionAnswering": QUESTIONS}
    return by_source.get(TASKS[task].source_type, PROMPTS)


def pretraining_objectives() -> Mapping[str, ObjectiveRow]:
    """Those that can be arms of pre-training."""
    return {name: row for name, row in OBJECTIVES.items() if row.pretrains}


def implemented(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Names of a table that this version has."""
    return tuple(name for name, entry in entries.items() if entry.implementation is not None)

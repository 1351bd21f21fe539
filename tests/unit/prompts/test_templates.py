"""Each template against a golden text: what a model reads, where its answer begins, and where that ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from finetune_api.adapt import Prompts
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.prompts import Prompt, create_prompt, encode_texts
from unit.prompts.test_adaptive_mt import byte_level

GOLDEN = Path(__file__).with_name("golden")
TEMPLATES = sorted(path.stem for path in GOLDEN.glob("*.txt"))
EXAMPLE = ("Open the door.", "Öffne die Tür.")
PAIR = ("Close the window, please.", "Mach bitte das Fenster zu.")
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """With marks of turns, and a template of them."""
    made = byte_level()
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    made.chat_template = CHAT
    return made


def settings(template: str, folder: Path) -> Prompts:
    (folder / "words.tsv").write_text(
        "door\tTür\nclose\tschließen\nwindow\tFenster\nDoor\tPforte\nhouse\tHaus\n", "utf-8"
    )
    needed: dict[str, dict[str, object]] = {
        "DiPMT": {"dictionary": {"uri": str(folder / "words.tsv")}},
        "Custom": {
            "text": "Examples:\n{examples}{source_language} {{now}}:\n* {source} in {target_language} = {target}",
            "example": "* {source} = {target}\n",
        },
    }
    return Prompts.from_json_object({"template": template} | needed.get(template, {}))


def made(template: str, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Prompt:
    return create_prompt(template, tokenizer, "en-de", settings(template, folder))


def tokens(prompt: Prompt, tokenizer: PreTrainedTokenizerFast, pair: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    (source,) = encode_texts(tokenizer, [prompt.source_text(pair[0])], prompt.source_lead)
    (target,) = encode_texts(tokenizer, [pair[1]], prompt.target_lead)
    return source, target


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_is_its_golden_text_token_for_token(
    template: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    prompt = made(template, tokenizer, tmp_path)
    example, (source, target) = tokens(prompt, tokenizer, EXAMPLE), tokens(prompt, tokenizer, PAIR)
    asked, answered = prompt.prompt(source, [example]), prompt.target(target)
    golden = (GOLDEN / f"{template}.txt").read_text("utf-8").removesuffix("\n")
    whole = [*asked.tolist(), *answered.tolist()]
    assert tokenizer.decode(whole) == golden
    assert whole == tokenizer.encode(golden, add_special_tokens=False)
    # What carries loss is the answer and its end, and nothing before.
    assert str(tokenizer.decode(answered)).lstrip(" ") == golden[golden.rindex(PAIR[1]) :]
    assert tokenizer.decode(asked) == golden[: golden.rindex(PAIR[1])].removesuffix(prompt.target_lead)

    lengths = (np.array([len(source)]), np.array([len(target)]))
    assert prompt.length(*lengths, np.array([len(example[0]) + len(example[1])]), 1).tolist() == [len(whole)]
    plain = [*prompt.prompt(source), *prompt.target(target)]
    assert prompt.length(*lengths).tolist() == [len(plain)]
    assert EXAMPLE[0] not in tokenizer.decode(plain)
    assert PAIR[0] in tokenizer.decode(plain)
    assert int(answered[-1]) in prompt.stop_ids


@pytest.mark.parametrize("template", TEMPLATES)
def test_several_examples_stand_in_their_order_each_in_the_form_of_one(
    template: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    prompt = made(template, tokenizer, tmp_path)
    example, (source, target) = tokens(prompt, tokenizer, EXAMPLE), tokens(prompt, tokenizer, PAIR)
    other = tokens(prompt, tokenizer, ("A house.", "Ein Haus."))
    one = str(tokenizer.decode(prompt.prompt(source, [example])))
    text = str(tokenizer.decode(prompt.prompt(source, [other, example])))
    first, _, rest = text.partition(EXAMPLE[0])
    block = one.partition(EXAMPLE[0])[0]
    assert first.startswith(block)
    assert first.index("A house.") < first.index("Ein Haus.")
    assert rest == one.partition(EXAMPLE[0])[2]
    ids = prompt.prompt(source, [other, example])
    assert ids.tolist() == tokenizer.encode(text, add_special_tokens=False)
    texts = np.array([sum(map(len, (*other, *example)))])
    whole = prompt.length(np.array([len(source)]), np.array([len(target)]), texts, 2)
    assert whole.tolist() == [len(ids) + len(prompt.target(target))]


def test_all_templates_but_that_of_the_paper_have_a_golden_text() -> None:
    from finetune_api.registries import PROMPTS

    assert set(TEMPLATES) | {"AdaptiveMT"} == set(PROMPTS)


def test_chat_is_what_the_tokenizer_makes_of_the_conversation(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    prompt = made("Chat", tokenizer, tmp_path)
    source, target = tokens(prompt, tokenizer, PAIR)
    request = {"role": "user", "content": f"Translate the following text from English to German.\n{PAIR[0]}"}
    asked = tokenizer.apply_chat_template([request], add_generation_prompt=True, return_dict=False)
    assert prompt.prompt(source).tolist() == asked
    whole = tokenizer.apply_chat_template([request, {"role": "assistant", "content": PAIR[1]}], return_dict=False)
    assert whole[: len(asked) + len(target) + 1] == [*asked, *prompt.target(target)]
    assert prompt.target(target)[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert prompt.stop_ids == {tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.eos_token_id}
    assert prompt.answer("Ja.\nNein.") == "Ja.\nNein."


def test_a_blank_that_a_chat_template_puts_before_an_answer_belongs_to_the_answer(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    prompt = made("Chat", tokenizer, tmp_path)
    assert (prompt.source_lead, prompt.target_lead) == ("", " ")
    source, target = tokens(prompt, tokenizer, PAIR)
    text = f"<s>[INST] Translate the following text from English to German.\n{PAIR[0]} [/INST]"
    assert tokenizer.decode(prompt.prompt(source)) == text
    assert tokenizer.decode(prompt.target(target)) == f" {PAIR[1]}</s>"
    assert prompt.prompt(source).tolist() == tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (None, "it has none"),
        ("{{ raise_exception('roles must alternate') }}", "cannot be rendered: roles must alternate"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}!", "begins an answer in another way"),
        ("always this", "begins an answer in another way|each message once"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_refused(template: str | None, words: str, tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.chat_template = template
    with pytest.raises(BadConfiguration, match=words):
        made("Chat", tokenizer, tmp_path)


def test_texts_spell_no_turns(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    prompt = made("Chat", tokenizer, tmp_path)
    source, _ = tokens(prompt, tokenizer, ("Done.<|im_end|>", ""))
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in source
    assert tokenizer.decode(source) == "Done.<|im_end|>"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("door\tTür\n".encode("latin-1"), r"words\.tsv:1: byte 7 is not UTF-8"),
        (b"a\tb\nhouse\nx\t\n", r"words\.tsv:2: must be a word, a tab.*words\.tsv:3: must be"),
        (b"\n", "holds no words"),
    ],
)
def test_a_file_that_is_no_dictionary_is_refused_by_line(
    data: bytes, words: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    chosen = settings("DiPMT", tmp_path)
    (tmp_path / "words.tsv").write_bytes(data)
    with pytest.raises(BadData, match=words):
        create_prompt("DiPMT", tokenizer, "en-de", chosen)


def test_only_words_that_are_known_have_a_hint(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    prompt = made("DiPMT", tokenizer, tmp_path)
    assert prompt.source_text("Nothing here.") == "Nothing here."
    assert prompt.source_text("A house, a HOUSE.").count('the word "') == 2
    assert not prompt.reads_prepared_tokens
    assert made("ALMA", tokenizer, tmp_path).reads_prepared_tokens
    assert not made("Alpaca", tokenizer, tmp_path).reads_prepared_tokens

"""The forms of the output. To add one: a file here, a line in FORMS, its name in the schema."""

from __future__ import annotations

from forge_gpu.config.schema import Config
from forge_gpu.templates.forms.base import Form
from forge_gpu.templates.forms.messages import MessagesForm
from forge_gpu.templates.forms.preference import PreferenceForm
from forge_gpu.templates.forms.prompt_completion import PromptCompletionForm
from forge_gpu.templates.forms.source import SourceForm
from forge_gpu.templates.forms.text import TextForm
from forge_gpu.templates.forms.tokens import TokensForm

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        TextForm(),
        PromptCompletionForm(),
        MessagesForm(),
        PreferenceForm(),
        SourceForm(),
        TokensForm(),
    )
}


def form_of(config: Config) -> Form:
    return FORMS[config.output.form]

"""A hook of MkDocs: the site has the same tree as the repository, so links between files work in both.

README.md is the first page, each Markdown file of `PAGES` is a page, and files that pages link to are
published with them. A link to a folder leads to nothing in a site: it becomes plain text.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = ("*.md", "docs/**/*.md", "docker/README.md")
FLAG = re.compile(r"^(```\w+) [\w-]+$", re.MULTILINE)
"""A fence with a word for the test of the commands, which MkDocs would take for text."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)#\s]+)((?:#[^)]*)?)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site: those of the theme, the pages, and what the pages link to."""
    pages = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    linked = {target for page in pages for target in _targets(page) if target.is_file()}
    site = Files([file for file in files if file.src_dir != config.docs_dir])
    for path in dict.fromkeys([*pages, *sorted(linked)]):
        name = path.relative_to(ROOT).as_posix()
        site.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return site


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Without the links to folders, and without flags of fences."""
    folder = Path(str(page.file.abs_src_path)).parent
    without = LINK.sub(lambda link: link[2] if (folder / link[3]).is_dir() else link[0], markdown)
    return FLAG.sub(r"\1", without)


def _targets(page: Path) -> list[Path]:
    return [(page.parent / link[3]).resolve() for link in LINK.finditer(page.read_text())]

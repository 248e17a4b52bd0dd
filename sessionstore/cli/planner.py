"""A small offline planner for the demo: cuts a story into scenes. Everything in a scene comes from the text."""

import re

from sessionstore.models import MediaType, ScenePrompt

TITLE_WORDS = 6
TITLE_CHARACTERS = 60
PROMPT_CHARACTERS = 300

# A sentence runs up to its closing marks, or to an empty line; CJK marks need no space after them.
_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[」』”’]*|(?=\n\s*\n)|$)", re.DOTALL)
_QUOTES = str.maketrans("", "", '"“”„«»「」『』')
_CLAUSE_END = re.compile(r"[,;:—–、，；]\s*|\s+")


def plan_scenes(story: str, scenes: int, media_type: MediaType) -> list[ScenePrompt]:
    """At most `scenes` scenes of about equal length; fewer when the story is shorter than that many pieces."""
    pieces = [sentence.group().strip() for sentence in _SENTENCE.finditer(story) if sentence.group().strip()]
    while len(pieces) < scenes and (halves := _split_longest(pieces)):
        pieces = halves
    return [
        ScenePrompt(
            scene_number=number,
            title=_title(text),
            description=text,
            image_prompt=f"{media_type.value} still: {_shortened(' '.join(text.split()), PROMPT_CHARACTERS)}",
        )
        for number, text in enumerate(_grouped(pieces, scenes), start=1)
    ]


def _grouped(pieces: list[str], count: int) -> list[str]:
    """The pieces in `count` groups, each ending where its share of the whole text is nearest."""
    total = sum(map(len, pieces))
    groups: list[str] = []
    current: list[str] = []
    done = 0
    for index, piece in enumerate(pieces):
        current.append(piece)
        done += len(piece)
        groups_after = count - len(groups) - 1
        pieces_after = len(pieces) - index - 1
        if pieces_after <= groups_after or (groups_after and done >= total * (len(groups) + 1) / count):
            groups.append(" ".join(current))
            current = []
    if current:
        groups.append(" ".join(current))
    return groups


def _split_longest(pieces: list[str]) -> list[str]:
    """The pieces with one more of them: the longest is cut near its middle; empty when nothing can be cut."""
    for piece in sorted(pieces, key=len, reverse=True):
        ends = [match.end() for match in _CLAUSE_END.finditer(piece) if match.start() > 0 and match.end() < len(piece)]
        if ends:
            cut = min(ends, key=lambda end: abs(end - len(piece) / 2))
            at = pieces.index(piece)
            return [*pieces[:at], piece[:cut].strip(), piece[cut:].strip(), *pieces[at + 1 :]]
    return []


def _title(text: str) -> str:
    first = next(_SENTENCE.finditer(text.translate(_QUOTES)), None)
    words = (first.group() if first else text).split()
    title = _shortened(" ".join(words[:TITLE_WORDS]), TITLE_CHARACTERS).strip(".,;:!?… ")
    return title[:1].upper() + title[1:] or _shortened(text, TITLE_CHARACTERS)


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"

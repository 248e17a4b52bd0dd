"""The demo's planner: every word of the story lands in exactly one scene."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sessionstore.cli.planner import plan_scenes
from sessionstore.models import MediaType

texts = st.text(alphabet=st.sampled_from("abc d.!?…。\n\"',;—\tß漢"), min_size=1, max_size=300).filter(str.strip)


def squeezed(text: str) -> str:
    return "".join(text.split())


@settings(deadline=None)
@given(text=texts, scenes=st.integers(1, 20))
def test_nothing_of_the_story_is_lost_or_said_twice(text: str, scenes: int) -> None:
    plan = plan_scenes(text, scenes, MediaType.CINEMATIC)

    assert squeezed("".join(scene.description for scene in plan)) == squeezed(text)
    assert 1 <= len(plan) <= scenes
    assert [scene.scene_number for scene in plan] == list(range(1, len(plan) + 1))


def test_a_long_story_is_cut_into_as_many_scenes_as_were_asked_for() -> None:
    story = " ".join(f"Sentence number {number} is here." for number in range(100))

    for scenes in (1, 2, 7, 50, 100):
        plan = plan_scenes(story, scenes, MediaType.CARTOON)
        lengths = [len(scene.description) for scene in plan]
        assert len(plan) == scenes
        assert max(lengths) <= 3 * min(lengths)


def test_the_same_story_is_planned_the_same_way() -> None:
    story = "One. Two? Three! Four."

    assert plan_scenes(story, 3, MediaType.CINEMATIC) == plan_scenes(story, 3, MediaType.CINEMATIC)


def test_titles_and_prompts_come_from_the_text() -> None:
    first, second = plan_scenes('"The fox ran," she said. The moon rose over the hill slowly.', 2, MediaType.REALISTIC)

    assert first.title == "The fox ran, she said"
    assert second.title == "The moon rose over the hill"
    assert second.image_prompt == "realistic still: The moon rose over the hill slowly."

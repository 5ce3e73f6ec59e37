"""How what is unread becomes batches, and a batch becomes parts."""

from hypothesis import given
from hypothesis import strategies as st

from spark_processor.offsets import OffsetRange, at_most, divided

RANGES = st.lists(
    st.builds(lambda begin, length: (begin, begin + length), st.integers(0, 10**9), st.integers(0, 10**6)),
    max_size=30,
).map(lambda bounds: [OffsetRange(number, *one) for number, one in enumerate(bounds)])


@given(RANGES, st.integers(1, 10**6))
def test_a_batch_has_the_beginning_of_each_partition_and_about_so_many_messages(
    unread: list[OffsetRange], most: int
) -> None:
    batch = at_most(most, unread)
    waiting = {one.partition: one for one in unread if len(one)}
    assert [one.partition for one in batch] == list(waiting)
    for one in batch:
        assert one.begin == waiting[one.partition].begin
        assert one.begin < one.end <= waiting[one.partition].end
    total = sum(map(len, batch))
    assert min(most, sum(map(len, unread))) - len(waiting) <= total <= max(most, len(waiting)) + len(waiting)
    if sum(map(len, unread)) <= most:
        assert batch == list(waiting.values())


@given(RANGES, st.integers(1, 8))
def test_parts_have_every_range_once_and_none_is_more_than_the_largest_above_the_others(
    ranges: list[OffsetRange], parts: int
) -> None:
    shares = divided(ranges, parts)
    assert len(shares) == min(parts, len(ranges)) or not all(map(len, ranges))
    assert sorted((one for share in shares for one in share), key=lambda one: one.partition) == ranges
    sizes = [sum(map(len, share)) for share in shares]
    if len(sizes) > 1:
        assert max(sizes) - min(sizes) <= max(map(len, ranges))

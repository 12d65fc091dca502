from probunet.datasets.lidc.index import count_crops, describe_counts


def test_counts_are_those_of_the_paper_s_protocol():
    counts = count_crops()
    assert counts.crops == 15_798
    assert list(counts.by_annotations.values()) == [4_883, 2_849, 2_820, 5_168, 78]
    assert (counts.patients, counts.series) == (875, 883)
    lines = describe_counts(counts).splitlines()
    assert lines[0] == "15,798 crops of 875 patients in 883 series"
    assert lines[1].strip() == "4,883 with 1 annotation"
    assert lines[-1].strip() == "78 with more than 4 annotations"

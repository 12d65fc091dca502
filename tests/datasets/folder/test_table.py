"""The table of one's own images: what it says, and each way in which it can be wrong."""

from pathlib import Path

import pytest

from probunet.datasets.folder.table import Row, read_table
from probunet.errors import ProbunetError

GOOD = "image,subject,mask_a,mask_b\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "images.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_what_a_table_says(tmp_path):
    text = (
        "\ufeffmask2,age, image ,subject,mask1\r\n"
        "\r\n"
        'm/1b.png,7,"i/1, left.png",P 1,./m//1a.png\r\n'
        " ,8,i/2.png,P 1 ,m/../n/2.png\r\n"
        "\r\n"
        ",,i/3.png,P2,\r\n"
    )
    path = write(tmp_path, text)
    graders, rows, content = read_table(path)
    assert graders == ("mask2", "mask1")
    assert rows == [
        Row("i/1, left.png", "P 1", ("m/1b.png", "m/1a.png")),
        Row("i/2.png", "P 1", (None, "n/2.png")),
        Row("i/3.png", "P2", (None, None)),
    ]
    assert content == path.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column image (columns: none)"),
        ("image;subject;mask\n", "columns: image;subject;mask; separate the columns by commas"),
        ("picture,subject,mask\n", "has no column image (columns: picture, subject, mask)"),
        ("image,mask\n", "no model is tested on a subject of its training set"),
        ("image,subject,truth\n", "has 0 columns whose names begin with mask"),
        (
            "image,subject," + ",".join(f"mask{k}" for k in range(33)) + "\n",
            "has 33 columns whose names begin with mask, one per grader; 1 to 32",
        ),
        ("image,subject,mask,mask\n", "has the column mask twice"),
        ("image,subject,subject,mask\n", "has the column subject twice"),
        (GOOD, "has no line below its header"),
        (GOOD + "a.png,P,a,b\nim\0.png,P,a,b\n", "line 3: contains the character NUL, which"),
        (
            GOOD.encode("utf-16"),
            "line 1: contains the character NUL, which no file's name can have",
        ),
        (GOOD + "a.png,P\n", "line 2: has 2 cells, and the header 4"),
        (GOOD + "a.png,P,a,b,\n", "line 2: has 5 cells"),
        (GOOD + ",P,a,b\n", "line 2: image is blank"),
        (GOOD + "a.png, ,a,b\n", "line 2: subject is blank"),
        (GOOD + "a.png,P,a,b\na.png,P,c,d\n", "line 3: a.png is already in line 2"),
        (GOOD + "a.png,P,a,b\n./a.png,P,c,d\n", "line 3: a.png is already in line 2"),
        (GOOD + "a.png,P,b.png,\nb.png,P,c,\n", "line 2: b.png is a mask, and the image of line 3"),
        (GOOD + "a.png,P,a.png,\n", "line 2: a.png is a mask, and the image of line 2"),
        (GOOD + "../a.png,P,a,b\n", "line 2: ../a.png is not inside the table's folder"),
        (GOOD + "a.png,P,x/../../a,b\n", "line 2: x/../../a is not inside"),
        (GOOD + "/a.png,P,a,b\n", "line 2: /a.png is not inside"),
        (GOOD + ".,P,a,b\n", "line 2: . is not inside"),
        (GOOD + '"a.png,P,a,b\n', "not a CSV file in UTF-8"),
        (b"image,subject,mask\n\xe9.png,P,a\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_table_is_an_error(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ProbunetError) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_missing_table_is_an_error_that_describes_it(tmp_path):
    with pytest.raises(ProbunetError, match=r"no such file\. It lists your images, with the"):
        read_table(tmp_path / "images.csv")
    with pytest.raises(ProbunetError, match=r"cannot be read \(Is a directory\)"):
        read_table(tmp_path)

"""What a call has found out lasts as long as the outermost call, and no other thread sees it."""

from threading import Thread

import pytest

from modelstitch.support.found import found, remembering


def test_it_lasts_as_long_as_the_outermost_call():
    assert found() is None
    with remembering():
        found()["what"] = 1
        with remembering():
            assert found() == {"what": 1}
        assert found() == {"what": 1}
        seen = []
        thread = Thread(target=lambda: seen.append(found()))
        thread.start()
        thread.join()
        assert seen == [None]
    assert found() is None
    with pytest.raises(ValueError, match="it ends"), remembering():
        raise ValueError("it ends")
    assert found() is None

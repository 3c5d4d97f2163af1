"""Cut-outs of surveys: asked for as each service documents, politely, once, and what goes wrong is a status."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from cutout_stand_in import Sky

from galaxy_vision.images.sources import FIELD
from galaxy_vision.sky.cutouts import Cutouts, resolve
from galaxy_vision.sky.fetching import USER_AGENT, Fetcher, NotFetched, Unreachable, cache_folder
from galaxy_vision.sky.services import SERVICES, cutout_url, service_of

M51 = (202.469575, 47.195258)


@pytest.fixture
def sky(monkeypatch, tmp_path):
    monkeypatch.setenv("GALAXY_VISION_CACHE", str(tmp_path / "cache"))
    with Sky() as server:
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        yield server


def cutouts(survey: str = "sdss", **settings) -> Cutouts:
    return Cutouts(survey, Fetcher(**{"pause": 0.0, "backoff": 0.0} | settings))


GOLDEN = {
    "sdss": "https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg?ra=202.469575&dec=47.195258&scale=0.20000"
    "&width=424&height=424",
    "legacy": "https://www.legacysurvey.org/viewer/jpeg-cutout?ra=202.469575&dec=47.195258&layer=ls-dr10-grz"
    "&pixscale=0.20000&size=424",
    "panstarrs": "https://alasky.cds.unistra.fr/hips-image-services/hips2fits?hips=CDS%2FP%2FPanSTARRS%2FDR1%2Fcolor-z-zg-g"
    "&width=424&height=424&projection=TAN&coordsys=icrs&ra=202.469575&dec=47.195258&fov=0.02355556&format=jpg",
    "CDS/P/DSS2/color": "https://alasky.cds.unistra.fr/hips-image-services/hips2fits?hips=CDS%2FP%2FDSS2%2Fcolor"
    "&width=424&height=424&projection=TAN&coordsys=icrs&ra=202.469575&dec=47.195258&fov=0.02355556&format=jpg",
}


@pytest.mark.parametrize("survey", GOLDEN)
def test_every_service_is_asked_as_it_documents(survey, monkeypatch):
    """Galaxy Zoo 2 showed 424 px at a scale of 0.02 petroR90: 10 arcsec are 0.2 arcsec a pixel."""
    for service in SERVICES.values():
        monkeypatch.delenv(service.variable, raising=False)
    assert cutout_url(service_of(survey), *M51, 424 * 0.2) == GOLDEN[survey]
    assert abs(424 * 0.02 - FIELD) < 1e-9


def test_a_known_radius_is_one_request_at_the_scale_of_galaxy_zoo(sky):
    cutout = cutouts().of(*M51, radius=10.0)
    assert cutout.width == pytest.approx(84.8) and cutout.radius == 10.0
    assert [request.split("?")[1] for request in sky.requests] == [GOLDEN["sdss"].split("?")[1]]
    assert sky.agents == {USER_AGENT} and "galaxy-vision/" in USER_AGENT


@pytest.mark.parametrize("effective_radius", [3.0, 8.0])
@pytest.mark.parametrize("survey", ["legacy", "panstarrs"])
def test_an_unknown_radius_is_measured_on_a_wider_cutout(survey, effective_radius, sky):
    """petroR90 of an exponential disc is 2.3 effective radii (Graham et al. 2005)."""
    sky.radius = effective_radius
    cutout = cutouts(survey).of(*M51)
    assert len(sky.requests) == (2 if effective_radius < 5 else 3)  # the first shows 120 arcsec, and it needs 155
    assert cutout.radius == pytest.approx(2.3 * effective_radius, rel=0.15)
    assert cutout.width == pytest.approx(FIELD * cutout.radius)


FAULTS = {
    "404": ("not_found", "has no image there (404)"),
    "html": ("not_an_image", "answered with text/html instead of an image: <html><h1>Sorry"),
    "empty": ("empty", "answered with nothing"),
    "truncated": ("truncated", "ended"),
    "blank": ("outside_footprint", "give another --survey"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_a_status(fault, sky):
    sky.faults[202.47, 47.2] = [f"{fault}!"]
    with pytest.raises(NotFetched) as caught:
        cutouts().of(*M51, radius=10.0)
    status, words = FAULTS[fault]
    assert caught.value.status == status and words in str(caught.value)
    asked = len(sky.requests)
    if fault in ("404", "blank"):  # which will be the same tomorrow, and so are not asked for again
        with pytest.raises(NotFetched) as again:
            cutouts().of(*M51, radius=10.0)
        assert (again.value.status, str(again.value)) == (status, str(caught.value))
        assert len(sky.requests) == asked == 1


@pytest.mark.parametrize("fault", ["429", "html", "empty", "truncated"])
def test_what_goes_wrong_once_is_asked_for_again(fault, sky):
    sky.faults[202.47, 47.2] = [fault]
    began = time.monotonic()
    assert cutouts().of(*M51, radius=10.0).data.startswith(b"\xff\xd8")
    assert len(sky.requests) == 2
    if fault == "429":  # the stand-in asks for a second in Retry-After
        assert time.monotonic() - began >= 1.0


def test_nothing_is_fetched_twice_by_any_run(sky):
    first = cutouts().of(*M51, radius=10.0)
    assert cutouts().of(*M51, radius=10.0) == first and len(sky.requests) == 1
    for file in cache_folder().rglob("*.img"):  # the cache may be thrown away
        file.unlink()
    assert cutouts().of(*M51, radius=10.0) == first and len(sky.requests) == 2


def test_no_more_requests_at_once_than_agreed(sky):
    limited = cutouts(at_once=2, pause=0.01)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: limited.of(number, 10.0, 5.0), range(24)))
    assert len(sky.answered) == 24 and sky.most_at_once <= 2


def test_without_a_network_one_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("GALAXY_VISION_CACHE", str(tmp_path))
    monkeypatch.setenv("GALAXY_VISION_SDSS_URL", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(Unreachable, match=r"^127.0.0.1:9 cannot be reached \(ConnectionError\); run the same again"):
        cutouts().of(*M51, radius=10.0)


@pytest.mark.parametrize("fault, error", [("429", Unreachable), ("500", NotFetched)])
def test_a_service_that_stays_busy_is_left_alone_and_one_that_breaks_only_here(fault, error, sky):
    sky.faults[202.47, 47.2] = [f"{fault}!"]
    limited = cutouts()
    with pytest.raises(error):
        limited.of(*M51, radius=10.0)
    asked = len(sky.requests)
    assert asked == 5  # once, and four times again
    if fault == "429":
        with pytest.raises(Unreachable):
            limited.of(10.0, 10.0, radius=10.0)
        assert len(sky.requests) == asked
    else:
        assert limited.of(10.0, 10.0, radius=10.0)


def test_names_are_resolved_as_cds_knows_them(sky, monkeypatch, tmp_path):
    from astropy.config import set_temp_cache

    with set_temp_cache(tmp_path):
        assert resolve("NGC 5457") == (210.80242, 54.34875)
        with pytest.raises(ValueError, match="name='NGC 99999': the resolver of CDS knows no such object"):
            resolve("NGC 99999")


def test_a_survey_without_cutouts_is_refused():
    with pytest.raises(ValueError, match="survey='hst' has no cut-outs; give sdss, legacy, panstarrs, or"):
        service_of("hst")

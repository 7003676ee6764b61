"""Figures say what the arrays say: numbers by hand and from SciPy, text that fits, files whole."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageSequence
from scipy import stats

from jaxdl import diagnostics, plots
from jaxdl.optim.classic import CLASSIC, FAMILIES
from jaxdl.plots.predictions import short_percent

DIGITS = [str(digit) for digit in range(10)]
CLOTHES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


@pytest.fixture
def random():
    return np.random.default_rng(0)


def images(random, count, channels=1):
    return random.integers(0, 256, (count, 28, 28, channels), np.uint8)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of titles that are drawn over each other, or a title and the figure's edge."""
    figure.draw_without_rendering()
    boxes = [(axes.get_title(), axes.title.get_window_extent()) for axes in figure.axes]
    edge = figure.bbox
    outside = [(text, "edge") for text, box in boxes if box.x0 < edge.x0 or box.x1 > edge.x1]
    return outside + [
        (first, second)
        for place, (first, box) in enumerate(boxes)
        for second, other in boxes[:place]
        if box.overlaps(other)
    ]


@plots.styled
def draw_panels(count: int) -> Figure:
    """Draws what `x` does.

    Of no use to a reader of the figure.
    """
    figure = Figure()
    all_axes = figure.subplots(1, count)
    for place, axes in enumerate(all_axes):
        axes.plot([1, 2], label="train")
        axes.set(title=f"panel\n{place}", xlabel="$x^2$", ylabel="y" if place else "")
    all_axes[0].set_title("left", loc="left")
    figure.suptitle("All.")
    figure.supylabel("z")
    figure.legend(["of all"])
    all_axes[-1].legend()
    return figure


def test_a_figure_says_what_it_shows(tmp_path):
    described = plots.describe(draw_panels(3))
    assert described == (
        "What x does. Titles: All.; left; panel 0; panel 1; panel 2. Axes: z; x^2; y against x^2. "
        "Legend: of all; train."
    )
    plots.save(draw_panels(3), tmp_path / "panels.png")
    with Image.open(tmp_path / "panels.png") as image:
        assert image.info["Description"] == described
    assert "panel 4; panel 5; and 4 more. Axes" in plots.describe(draw_panels(10))
    assert plots.describe(Figure()) == ""


def test_learning_curves_of_one_seed():
    history = {
        "loss": jnp.array([1.0, 0.5, 0.1]),
        "accuracy": jnp.array([0.5, 0.8, 0.9]),
        "validation_loss": np.array([0.9, 0.4, 0.2]),
        "validation_accuracy": np.array([0.6, 0.7, 0.8]),
        "gradient_norm": np.ones(3),
    }
    loss, accuracy = plots.learning_curves(history).axes
    assert [line.get_label() for line in loss.lines] == ["train", "validation"]
    np.testing.assert_array_equal(accuracy.lines[1].get_ydata(), [0.6, 0.7, 0.8])
    np.testing.assert_array_equal(accuracy.lines[1].get_xdata(), [1, 2, 3])
    assert accuracy.yaxis.get_major_formatter()(0.8, 0).startswith("80")
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert not loss.collections


def test_learning_curves_of_seeds_have_the_95_percent_interval(random):
    losses = random.random((5, 4)) - 0.5  # some negative, so no logarithm
    axes = plots.learning_curves({"test_loss": losses}).axes[0]
    low, high = stats.t.interval(0.95, 4, losses.mean(axis=0), stats.sem(losses, axis=0))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), losses.mean(axis=0))
    band = axes.collections[0].get_paths()[0].vertices
    for epoch in range(4):
        heights = band[band[:, 0] == epoch + 1, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [low[epoch], high[epoch]])
    assert axes.get_legend().get_title().get_text() == "mean of 5 seeds, 95% interval"
    assert axes.get_yscale() == "linear"


def test_learning_curves_of_one_epoch_have_one_tick():
    axes = plots.learning_curves({"loss": np.array([0.3])}).axes[0]
    ticks = [tick for tick in axes.get_xticks() if axes.get_xlim()[0] < tick < axes.get_xlim()[1]]
    assert ticks == [1]


@pytest.mark.parametrize("classes", [DIGITS, CLOTHES])
def test_digit_grid_tells_right_from_wrong(classes, random):
    predictions, truths = np.arange(10), np.arange(10)
    predictions[3] = 9
    figure = plots.digit_grid(
        images(random, 10), jnp.asarray(predictions), truths.astype(np.uint8), classes
    )
    expected = [f"✓ {name}\ntrue: {name}" for name in classes]
    expected[3] = f"✗ {classes[9]}\ntrue: {classes[3]}"
    assert titles(figure) == expected
    colours = [to_hex(axes.title.get_color()).upper() for axes in figure.axes]
    assert colours == [plots.RED if place == 3 else plots.GREEN for place in range(10)]
    assert figure.get_suptitle() == "9 of 10 right"
    assert overlaps(figure) == []


@pytest.mark.parametrize("classes", [DIGITS, CLOTHES])
def test_worst_mistakes_come_in_the_order_of_their_loss(classes, random):
    probabilities = random.dirichlet(np.full(10, 0.2), 60).astype(np.float32)
    truths = random.integers(0, 10, 60)
    pictures = images(random, 60)
    figure = plots.worst_mistakes(pictures, probabilities, truths, classes, shown=6)
    losses = {}
    for index in range(60):
        if probabilities[index].argmax() != truths[index]:
            losses[index] = -np.log(probabilities[index, truths[index]])
    worst = sorted(losses, key=lambda index: -losses[index])[:6]
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(shown, pictures[worst][..., 0])
    assert f"true: {classes[truths[worst[0]]]} (" in titles(figure)[0]
    assert figure.get_suptitle() == f"{len(losses)} mistakes\nin 60 images, the worst first"
    assert overlaps(figure) == []


def test_no_mistakes_are_a_figure_too(random, tmp_path):
    figure = plots.worst_mistakes(images(random, 3), np.eye(10)[:3], np.arange(3), DIGITS)
    assert figure.get_suptitle() == "0 mistakes\nin 3 images"
    plots.save(figure, tmp_path / "none.png")


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "100%"), (0.9973, "99.7%"), (0.5, "50%"), (0.0241, "2.4%"), (1e-4, "0.01%")],
)
def test_probabilities_are_short(probability, text):
    assert short_percent(probability) == text
    assert short_percent(1e-9) == "<0.001%"


def test_confusion_matrix_counts():
    truths = np.array([0, 0, 0, 1, 1, 2])
    predictions = jnp.array([0, 2, 2, 1, 1, 2])
    axes, colours = plots.confusion_matrix(truths, predictions, ["Bag", "Coat", "Dress"]).axes
    cells = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    # Positions are (predicted, true); zeros are left blank.
    assert cells == {(0, 0): "1", (2, 0): "2", (1, 1): "2", (2, 2): "1"}
    shares = axes.images[0].get_array()
    np.testing.assert_allclose(shares.filled(0), [[1 / 3, 0, 2 / 3], [0, 1, 0], [0, 0, 1]])
    assert axes.get_title() == "6 images, 66.67% right"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Bag", "Coat", "Dress"]
    assert colours.get_ylabel() == "share of true class"


def test_filters_share_a_scale_about_zero(random):
    kernel = random.normal(size=(5, 5, 1, 6))
    *panels, _ = plots.filters(jnp.asarray(kernel)).axes
    assert len(panels) == 6
    np.testing.assert_allclose(panels[4].images[0].get_array(), kernel[:, :, 0, 4], rtol=1e-6)
    largest = np.abs(kernel).max()
    np.testing.assert_allclose(panels[2].images[0].get_clim(), [-largest, largest], rtol=1e-6)

    kernel = random.normal(size=(3, 3, 3, 4))
    *panels, _ = plots.filters(kernel).axes
    assert len(panels) == 12
    np.testing.assert_array_equal(panels[6].images[0].get_array(), kernel[:, :, 1, 2])
    assert panels[4].get_ylabel() == "input 2"


def test_feature_maps_lie_side_by_side(random):
    first, second = random.random((28, 28, 6)), random.random((7, 7, 120))
    image = images(random, 1)[0]
    figure = plots.feature_maps([("conv 1", jnp.asarray(first)), ("conv 3", second)], image)
    assert titles(figure)[:3] == [
        "image",
        "conv 1: 6 maps of 28×28",
        "conv 3: 120 maps of 7×7",
    ]
    tiles = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(tiles[:28, 29:57], first[..., 1], rtol=1e-6)
    tiles = figure.axes[2].images[0].get_array()
    np.testing.assert_array_equal(tiles[8:15, 16:23], second[..., 22])  # second row of 20


@pytest.mark.parametrize("classes", [DIGITS, CLOTHES])
def test_probability_bars_name_the_most_probable(classes, random):
    probabilities = jnp.asarray([0.01, 0.02, 0.6, 0.3, 0.07, 0, 0, 0, 0, 0])
    figure = plots.probability_bars(images(random, 1, channels=3)[0], probabilities, classes)
    picture, bars = figure.axes
    assert picture.get_title() == f"{classes[2]}, 60%"
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], probabilities)
    colours = [to_hex(bar.get_facecolor()).upper() for bar in bars.patches]
    assert [place for place, colour in enumerate(colours) if colour == plots.BLUE] == [2]
    assert [label.get_text() for label in bars.get_yticklabels()] == classes


def test_save_writes_a_whole_file_or_none(tmp_path, monkeypatch):
    figure = plots.learning_curves({"accuracy": np.array([0.1, 0.9])})
    path = tmp_path / "figures" / "curves.png"
    plots.save(figure, path)
    with Image.open(path) as picture:
        width, height = figure.get_size_inches() * 150
        assert picture.format == "PNG"
        assert picture.size == (round(width), round(height))
    before = path.read_bytes()

    def fail(partial, **_):
        partial.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(figure, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_save_all_names_the_files(tmp_path):
    history = {"accuracy": np.array([0.1, 0.9])}
    plots.save_all({name: plots.learning_curves(history) for name in "ab"}, tmp_path / "figures")
    assert sorted(path.name for path in tmp_path.glob("figures/*")) == ["a.png", "b.png"]


def test_save_animation_keeps_order_times_and_colours(tmp_path, monkeypatch):
    colours = [tuple(int(code[at : at + 2], 16) for at in (1, 3, 5)) for code in plots.COLOURS]
    pictures = [Image.new("RGB", (20, 10), colour) for colour in [*colours, (4, 3, 2)]]
    path = tmp_path / "figures" / "race.gif"
    plots.save_animation(iter(pictures), path)
    with Image.open(path) as animation:
        assert animation.info["loop"] == 0  # for ever
        frames, milliseconds = [], []
        for frame in ImageSequence.Iterator(animation):
            frames.append(frame.convert("RGB").getpixel((5, 5)))
            milliseconds.append(frame.info["duration"])
    assert frames == [*colours, (0, 0, 0)]  # the nearest
    assert milliseconds == [120] * 5 + [2000]
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save_animation(pictures[:2], path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# --- what figures have in common -----------------------------------------------------------------


@pytest.fixture
def axes():
    return Figure().add_subplot()


def interval(values):
    """The ends of the 95% interval of each column."""
    count = len(values)
    return stats.t.interval(0.95, count - 1, values.mean(axis=0), stats.sem(values, axis=0))


def test_draw_band_is_the_mean_and_the_interval_of_seeds(axes, random):
    x, values = np.array([1, 10, 100]), random.random((5, 3))
    plots.draw_band(axes, x, values, color=plots.RED, label="here", linestyle="--")
    (line,), (band,) = axes.lines, axes.collections
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    assert (line.get_label(), line.get_linestyle(), line.get_color()) == ("here", "--", plots.RED)
    assert to_hex(band.get_facecolor()[0]).upper() == plots.RED
    vertices = band.get_paths()[0].vertices
    for place, low, high in zip(x, *interval(values), strict=True):
        heights = vertices[vertices[:, 0] == place, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [low, high])


def test_draw_errorbars_are_the_mean_and_the_interval_of_seeds(axes, random):
    values = random.random((4, 3))
    plots.draw_errorbars(axes, jnp.arange(3), jnp.asarray(values), color=plots.RED, capsize=5)
    ((line, caps, (bars,)),) = axes.containers
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0), rtol=1e-6)
    ends = np.array(bars.get_segments())[:, :, 1].T
    np.testing.assert_allclose(ends, interval(values), rtol=1e-5)
    assert caps[0].get_markersize() == 2 * 5


def test_one_seed_has_no_interval(axes):
    values = np.array([[3.0, 1.0]])
    plots.draw_band(axes, np.arange(2), values, color=plots.RED)
    plots.draw_errorbars(axes, np.arange(2), values)
    assert not axes.collections
    for line in axes.lines:
        np.testing.assert_array_equal(line.get_ydata(), values[0])


def test_make_logarithmic_writes_plain_numbers(axes):
    axes.plot([0.02, 0.4], [1e-3, 30])
    plots.make_logarithmic(axes.xaxis)
    axes.figure.draw_without_rendering()
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    shown = [label.get_text() for tick, label in ticks if 0.019 < tick < 0.41]
    assert shown == ["0.02", "0.05", "0.1", "0.2"]
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")

    plots.make_logarithmic(axes.yaxis, (1,))
    assert axes.get_yscale() == "log"
    ticks = axes.get_yticks()
    np.testing.assert_allclose(ticks[(ticks > 9e-4) & (ticks < 31)], [1e-3, 0.01, 0.1, 1, 10])


def test_family_styles_tell_every_member_apart():
    styles = plots.family_styles(FAMILIES)
    assert {*styles} == {*CLASSIC}
    assert len({(style["color"], style["marker"]) for style in styles.values()}) == len(CLASSIC)
    for members in FAMILIES.values():
        assert len({styles[member]["color"] for member in members}) == 1
    with pytest.raises(ValueError, match="five"):
        plots.family_styles({"one": "abcdef"})
    with pytest.raises(ValueError, match="five"):
        plots.family_styles(dict.fromkeys("abcdef", ()))


# --- instruments ---------------------------------------------------------------------------------


def instrument_history(random, shape):
    """Every metric of `jaxdl.diagnostics`, as positive noise of the given shape."""
    names = [
        *("loss", "accuracy", "learning_rate", "gradient_norm", "gradient_variance"),
        *("squared_gradient", "examples", "gradient_cosine", "step_cosine", "step_length"),
        *("distance_from_start", "curvature", "step_slope", "step_bend", "clipped_examples"),
        *(f"example_norm_{name}" for name in ("mean", "min", "q25", "median", "q75", "max")),
        *("layer_norm_dense1", "layer_norm_dense2", "class_share_0", "class_share_1"),
    ]
    return {name: random.uniform(0.1, 1, shape) for name in names}


def panels(figure: Figure) -> dict:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_instruments_draw_running_means_of_one_run(random, tmp_path):
    history = instrument_history(random, 80)
    history["loss"][70:] = np.nan  # stopped
    history["step_slope"] *= -1
    figure = plots.instruments(history)
    drawn = panels(figure)
    assert len(drawn) == 13
    raw, mean = drawn["loss"].lines
    np.testing.assert_array_equal(raw.get_ydata(), history["loss"])
    np.testing.assert_allclose(mean.get_ydata()[40], history["loss"][39:41].mean())
    assert np.isnan(mean.get_ydata()[70:]).all()
    window = slice(40 - 4, 40 + 4)  # a tenth of the run
    scale = history["gradient_variance"][window].mean() / history["squared_gradient"][window].mean()
    line, batch = drawn["gradient noise scale"].lines
    np.testing.assert_allclose(line.get_ydata()[40], scale, rtol=1e-5)
    assert batch.get_ydata()[0] == history["examples"].max()
    end = drawn["end of the steps on the parabola along them"].lines[0].get_ydata()[40]
    ratio = history["step_bend"][window].mean() / -history["step_slope"][window].mean()
    np.testing.assert_allclose(end, ratio - 1, rtol=1e-5)
    layers = drawn["mean gradient norm by layer"].get_legend().get_texts()
    assert [text.get_text() for text in layers] == ["dense1", "dense2"]
    assert figure.get_suptitle() == "pale: each step; lines: means over 2 steps"
    plots.save(figure, tmp_path / "page.png")


def test_instruments_of_seeds_have_the_95_percent_interval(random):
    history = instrument_history(random, (4, 6))
    drawn = panels(plots.instruments(history, unit="epoch"))
    values = history["step_length"]
    low, high = stats.t.interval(0.95, 3, values.mean(axis=0), stats.sem(values, axis=0))
    band = drawn["step length"].collections[0].get_paths()[0].vertices
    heights = band[band[:, 0] == 3, 1]
    np.testing.assert_allclose([heights.min(), heights.max()], [low[2], high[2]])
    assert drawn["share of each class in the gradient norms"].get_xlabel() == "epoch"


def test_instruments_draw_what_was_measured_and_nothing_else(random):
    history = {"loss": np.ones(5), "step_slope": np.ones(5), "test_loss": np.ones(5)}
    assert [*panels(plots.instruments(history))] == ["loss"]
    # A run of batch size 1 has no noise scale.
    nothing = np.full(5, np.nan)
    history |= {"gradient_variance": nothing, "squared_gradient": nothing}
    assert [*panels(plots.instruments(history))] == ["loss"]
    assert plots.instruments({}).axes == []


def test_instruments_of_a_gradient_lost_in_its_noise():
    """No noise scale at any step."""
    history = {"gradient_variance": np.ones(5), "squared_gradient": -np.ones(5)}
    assert [*panels(plots.instruments(history))] == ["gradient noise scale"]


def test_quantiles_are_drawn_all_or_none():
    history = {f"example_norm_{name}": np.ones(5) for name in diagnostics.FIVE_NUMBERS}
    assert [*panels(plots.instruments(history))] == ["gradient norm of each example"]
    alone = {"gradient_norm": np.ones(5)}
    assert [*panels(plots.instruments(alone))] == ["gradient norm"]
    history |= {"example_norm_max": np.full(5, np.nan), "gradient_norm": np.ones(5)}
    assert plots.instruments(history).axes == []

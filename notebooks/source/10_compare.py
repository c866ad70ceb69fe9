# %% [markdown]
# # Compare: NoiseAL, SiDyP and their rivals, and how to report honestly
#
# Everyone's own method wins in everyone's own paper; a fair comparison takes the same labels, the same effort, simple rivals and several seeds.
#
# **Afterwards you can**
#
# - say what makes a comparison fair, and what quietly makes it unfair;
# - say what a test set of a few hundred texts allows to claim: intervals, and paired differences;
# - say why the winner of a comparison looks better than it is;
# - run the same comparison on a file of your own.
#
# **You need** notebooks 05 (NoiseAL) and 09 (SiDyP); the rivals are explained where they appear.

# %% tags=["setup"]
# {{setup}}

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 1000
test_size = 600
noise = "symmetric"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
query_budget = 8
seeds = 2
data = ""
text_column = ""
label_column = ""
gold_column = ""
label_map = ""
cleaned = ""
full_grid = False
recorded = True
results = ""

# %% [markdown]
# `seeds` is how often each method is run, with other noise each time. `data` may be a file of your own
# (section 7): then the page speaks of it. `full_grid = True` computes section 5's grid here, which takes
# minutes; otherwise the recorded one is shown, whatever the other settings are.

# %%
import ast
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML

import nlkit as nk
from nlkit.course.saying import amount, compare, extremes, listed, say, when

told = ast.literal_eval(label_map.removeprefix("label_map=") or "None")
own = {"text": text_column, "noisy_label": label_column, "label": gold_column, "label_map": told}
setup = nk.course.setup(
    profile=profile, seed=seed, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
    dataset=data or dataset, train_size=None if data else train_size, test_size=None if data else test_size,
    noise="as given" if data else noise, noise_rate=0.0 if data else noise_rate, columns=own if data else {},
    recording="" if data else "compare_methods",
)  # fmt: skip
LAST, BEST = nk.comparing.LAST, nk.comparing.BEST
by_seed = {number: setup.noised(number) for number in range(seed, seed + seeds)}

setup

# %%
# The simulated annotator knows the answers to the packaged texts only.
asked = None if data and annotator == "simulated" else setup.make_annotator()
METHODS = ["NoiseAL", "SiDyP", "Baseline", "KNNRelabel", "ConfidentLearning"]
makers = nk.comparing.contestants(
    methods=METHODS, annotator=asked, query_budget=query_budget, encoder=encoder, profile=profile
)
plain = {name: make for name, make in makers.items() if isinstance(make(seed), nk.Baseline)}
large = {name: make for name, make in makers.items() if name not in plain}
pd.DataFrame(
    {
        "epochs": {name: make(seed).config.epochs for name, make in makers.items()},
        "made by": {name: type(make(seed)).__name__ for name, make in makers.items()},
    }
)

# %% [markdown]
# ## 1. A fair comparison
#
# **Question.** Everyone's own method wins in everyone's own paper. What has to be equal?
#
# 1. **Data.** The same texts and the same wrong labels for all. Each seed draws noise (unless the labels are
#    yours) and training anew, so that one lucky draw does not decide.
# 2. **Models and effort.** The same encoder, epochs and profile. Whoever tunes one method tunes all, or none.
#    (Ours were developed on other draws of the course's own data, which are friendly to them.)
# 3. **Selection.** Either the last epoch, or one chosen by **noisy** validation labels. Who picks the best
#    epoch by true labels reports a number that nobody can reach in practice.
# 4. **Simple rivals.** Early stopping, a robust loss, removing suspicious labels: minutes of work for a user.
# 5. **The test set decides nothing.** It is looked at once, at the end.
#
# What the rivals do, in one line each. **CE** believes every label. **GCE** and **SCE** bound what a single
# wrong label can do to the loss. **ELR** holds a text near what the model said about it earlier. **Label
# smoothing** takes some probability away from every label. **mixup** learns from averages of two texts.
# **KNNRelabel** gives a text the label of its neighbours; **ConfidentLearning** removes labels that a
# cross-validated classifier contradicts; both then train CE. (`nk.METHODS` has more: Co-teaching, JoCoR,
# SelfMix, DivideMix, forward correction, a linear model. A name that you add to `METHODS` above takes part.)

# %% [markdown]
# ## 2. The methods
#
# **Experiment.** First the rivals, which are all one classifier, trained in different ways.


# %%
def comparison_of(makers):
    def experiment():
        scores, guess = nk.comparing.compare(by_seed, makers)
        return {"scores": scores, "guess": guess}

    return experiment


more = {"query_budget": query_budget, "seeds": seeds}
run_plain = setup.run("compare_baselines", comparison_of(plain), **more)
run_plain

# %% [markdown]
# Then the methods with several models. NoiseAL may ask the language model `query_budget` questions a run.

# %%
run_large = setup.run("compare_methods", comparison_of(large), **more)
run_large

# %%
scores = pd.concat([run_large["scores"], run_plain["scores"]], ignore_index=True)
guess = np.concatenate([run_large["guess"], run_plain["guess"]])
truth = np.array(next(iter(by_seed.values()))["test"]["label"])
truth = truth[truth >= 0]
OURS = ["NoiseAL", "SiDyP"]


def mean_and_sd(values):
    return f"{100 * values.mean():.1f}" + (f" ± {100 * values.std(ddof=0):.1f}" if seeds > 1 else "")


shown = scores.pivot_table(
    index="method", columns="selected", values=["accuracy", "macro_f1", "ece"], aggfunc=mean_and_sd,
    sort=False,
)  # fmt: skip
shown

# %% [markdown]
# All in percent, mean and, of several seeds, ± standard deviation; of ECE, the expected calibration error,
# less is better. The deviation of a few runs is itself a rough number, and of one run there is none.

# %%
of_last = scores[scores["selected"] == LAST]
fig, axes = nk.plots.figure(1, scores["selected"].nunique(), width=12, height=4)
low = nk.plots.start_below(scores["accuracy"])
order = of_last.groupby("method")["accuracy"].mean().sort_values(ascending=False).index
alt = ""
for ax, (selected, rows) in zip(np.atleast_1d(axes), scores.groupby("selected", sort=False), strict=True):
    rows = rows.sort_values("method", key=lambda names: names.map(list(order).index), kind="stable")
    alt += f"{selected}: " + nk.plots.draw_spread(rows, ax, marked=OURS, low=low) + " "
    ax.set_title(selected)
nk.plots.show(fig, alt)

# %% tags=["finding"]
mean = scores.pivot_table(index="method", columns="selected", values="accuracy")
ece = scores.pivot_table(index="method", columns="selected", values="ece")
told = {
    selected: say(
        f"{'At the last epoch' if selected == LAST else 'At the best epoch by noisy validation'},"
        f" {extremes(mean[selected])}."
    )
    for selected in mean
}
ours_told = {
    name: say(
        f"At the last epoch {compare(mean[LAST], name, 'CE')}; its ECE is {amount(ece.loc[name, LAST])}."
    )
    for name in OURS
    if name in mean.index
}
ahead = [
    name
    for name in mean.index
    if name not in OURS and mean.loc[name, LAST] >= mean.loc["NoiseAL", LAST] - 0.01
]
apart = (mean.max() - mean.min()).dropna()
say(
    "**What we saw.**",
    *told.values(),
    when(
        len(apart) > 1
        and list(mean[LAST].sort_values().index)
        != list(mean[mean.columns.drop(LAST)[0]].sort_values().index),
        f"Between best and worst lie {listed(f'{100 * points:.1f} points ({selected})' for selected, points in apart.items())},"
        " and the order changes: **how an epoch is selected matters**. A paper that gives the best epoch to its own method"
        " and the last one to its rivals proves nothing.",
    ),
    *ours_told.values(),
    when(
        ahead,
        f"Within a point of NoiseAL at the last epoch, or above it, of the others: {listed(ahead)}.",
        "No other method comes within a point of NoiseAL at the last epoch.",
    ),
)

# %% tags=["check"]
for selected, sentence in told.items():
    sentence.check(mean[selected].dropna())
for sentence in ours_told.values():
    sentence.check(mean[LAST].dropna())
assert set(scores["method"]) == set(makers), "every method was run"
assert (scores.groupby(["method", "selected"]).size() == seeds).all()
assert scores[["accuracy", "macro_f1", "ece"]].apply(lambda column: column.between(0, 1)).all(axis=None)
assert np.allclose((guess == truth).mean(1), scores["accuracy"], atol=1e-5), "guesses belong to the scores"
if run_plain.as_given and run_large.as_given:
    assert apart[LAST] > apart[BEST] + 0.02, "selection brings the methods together"
    assert list(mean[LAST].sort_values().index) != list(mean[BEST].sort_values().index)
    assert (mean.loc[OURS, LAST] > mean.loc["CE", LAST] + 0.05).all(), "ours beat CE's last epoch"
    assert (ece.loc[OURS, LAST] < 0.1).all(), "and are calibrated"
    assert mean.loc["ConfidentLearning", LAST] > mean.loc["NoiseAL", LAST] - 0.02
    assert mean.loc["ConfidentLearning", BEST] > mean.loc["NoiseAL", BEST] - 0.005
    assert set(mean[LAST].nsmallest(3).index) >= {"CE", "label smoothing"}

# %% [markdown]
# ## 3. How sure is a difference?
#
# **Question.** Two accuracies differ by one point. Is that anything?
#
# Two things could have been different: the training (noise, initial weights, order of the batches), which
# the **spread over seeds** shows, and the **test texts**. For the latter there is the **bootstrap**: draw as
# many texts as the test set has, with replacement, compute the mean again, two thousand times. The middle
# 95 % of the results are the interval.
#
# For a difference of two methods, take the difference on **each text** first. What is hard for both then
# cancels, and the interval gets narrower: a **paired** comparison.

# %%
against = ("CE", BEST if BEST in set(scores["selected"]) else LAST)
sure = nk.comparing.intervals(scores, guess, truth, against)
sure_last = sure[(sure["selected"] == LAST) & (sure["method"] != against[0])]
sure_last.set_index("method").drop(columns="selected").mul(100).round(1)

# %%
fig, ax = nk.plots.figure(width=8, height=4)
alt = nk.plots.draw_differences(
    sure_last.sort_values("difference", ascending=False), ax, against=f"CE, {against[1]}"
)
nk.plots.show(fig, alt)

# %% tags=["finding"]
apart_from_zero = sure_last[(sure_last["difference_low"] > 0) | (sure_last["difference_high"] < 0)]
top = sure_last.nlargest(3, "accuracy")
overlap = top["low"].max() < top["high"].min()
told = say(
    f"**What we saw.** The methods at their last epoch, beside CE, {against[1]}. A full dot says that the interval leaves",
    f"zero out, a hollow one that it does not: full are {listed(apart_from_zero['method'])}.",
    f"The accuracies' intervals of the three best, {listed(top['method'])}, {'overlap' if overlap else 'do not all overlap'};",
    "whether two of them differ, only their own paired difference could tell.\n\n",
    f"An interval that leaves zero out is no proof either. With {len(sure_last)} comparisons at 95 %, chance alone gives",
    f"one such result with a probability of up to {amount(1 - 0.95 ** len(sure_last), digits=0)} (exercise 2). And the interval",
    "knows only these texts and these seeds.",
)
told

# %% tags=["check"]
for row in sure_last.itertuples():
    inside = row.difference_low <= 0 <= row.difference_high
    assert (row.method in set(apart_from_zero["method"])) == (not inside), "full dots leave zero out"
assert ((sure["low"] <= sure["accuracy"]) & (sure["accuracy"] <= sure["high"])).all()
reference = sure.set_index(["method", "selected"]).loc[against]
assert reference["difference"] == reference["difference_low"] == reference["difference_high"] == 0
if run_plain.as_given and run_large.as_given:
    width = sure_last["high"] - sure_last["low"]
    assert width.between(0.02, 0.08).all(), "a few points wide with 600 texts"
    unpaired = np.hypot(width, reference["high"] - reference["low"])
    assert (sure_last["difference_high"] - sure_last["difference_low"] < unpaired).mean() > 0.8, (
        "pairing helps"
    )
    assert overlap, "the intervals of the three best overlap"

# %% [markdown]
# ## 4. The winner looks better than it is
#
# **Question.** We run ten methods and report the best. What is wrong with that?
#
# **Experiment.** Cut the test set into halves at random. Choose the winner on one half, and look at it on
# the other, which had no part in the choice. A thousand times.

# %%
right = (guess == truth).astype(float)
names_at = list(zip(scores["method"], scores["selected"], strict=True))
every = list(dict.fromkeys(names_at))
by_method = np.stack([right[[key == name for key in names_at]].mean(0) for name in every])
halves = nk.comparing.optimism(by_method, seed=seed)
lost = (halves["chosen_on"] - halves["elsewhere"]).mean()
winners = halves["winner"].map(lambda number: ", ".join(every[number])).value_counts()
print(f"on the half that chose {100 * halves['chosen_on'].mean():.1f} %,", end=" ")
print(f"on the other {100 * halves['elsewhere'].mean():.1f} %: {100 * lost:.1f} points less")
winners.rename("times the winner").rename_axis("method and selection").head(5).to_frame()

# %% tags=["finding"]
say(
    f"**What we saw.** The winner of one half {'loses' if lost > 0 else 'gains'} {abs(100 * lost):.1f} points on the other, on average,",
    f"and {len(winners)} of {len(every)} win at least once; most often {winners.index[0]}, in",
    f"{amount(winners.iloc[0] / len(halves), digits=0)} of the draws.",
    "Part of a winner's lead is luck with the texts on which it was chosen. The remedy is to choose on other data than one",
    "reports on, or to say that one did not.",
)

# %% tags=["check"]
assert winners.sum() == len(halves)
if run_plain.as_given and run_large.as_given:
    assert lost > 0, "the winner should lose where it was not chosen"
    assert len(winners) >= 2, "the winner should depend on the texts"

# %% [markdown]
# ## 5. Other data, other noise
#
# **Question.** Would you choose the same method for other data?
#
# **Experiment.** A grid: two data sets, two kinds of noise, two rates, the same methods; NoiseAL asks nobody. It is
# recorded, and its settings stand in its label; they do not follow the parameters at the top. Beside data of
# your own it is not shown.

# %%
GRID = {
    "datasets": ["r8", "20ng"], "noises": ["symmetric", "asymmetric"], "noise_rates": [0.2, 0.4],
    "train_size": 1000, "test_size": 600, "seeds": [0, 1], "profile": "quick", "encoder": "minilm",
    "query_budget": 0,
}  # fmt: skip


def whole_grid():
    shared = {"profile": GRID["profile"], "encoder": GRID["encoder"]}
    makers, found = nk.comparing.contestants(methods=METHODS, **shared), []
    for dataset in GRID["datasets"]:
        for noise in GRID["noises"]:
            for rate in GRID["noise_rates"]:
                here = nk.course.setup(
                    dataset=dataset, noise=noise, noise_rate=rate, seed=0, annotator="simulated",
                    train_size=GRID["train_size"], test_size=GRID["test_size"], recorded=False, results="",
                    **shared,
                )  # fmt: skip
                scores, _ = nk.comparing.compare({s: here.noised(s) for s in GRID["seeds"]}, makers)
                found.append(scores.assign(dataset=dataset, noise=noise, noise_rate=rate))
    columns = ["dataset", "noise", "noise_rate", "method", "seed", "selected", "accuracy", "macro_f1", "ece"]
    return {"grid": pd.concat(found, ignore_index=True)[columns]}


grid = None if data else nk.recorded.experiment("comparison", whole_grid, GRID, recorded=not full_grid)
grid

# %%
nk.widgets.explore(
    grid, lambda run: nk.widgets.compare_explorer(run["grid"], noise_rate=0.4, marked=OURS)
) if grid else "Not shown: it is about other data."

# %% [markdown]
# The place of each method in each setting, by its mean accuracy at the **last epoch**:

# %%
setting = ["dataset", "noise", "noise_rate"]
places = None
if grid:
    everything = grid["grid"].round({"noise_rate": 2})
    places = nk.comparing.ranks(everything.query("selected == @LAST"), setting)
places.round(1) if grid else "Not shown: it is about other data."

# %% tags=["finding"]
told = ""
if grid:
    only = places.drop(columns="mean")
    first, last_rows = only.idxmin(), everything.query("selected == @LAST")
    by_setting = last_rows.groupby([*setting, "method"])["accuracy"].mean()
    best_of = by_setting.groupby(setting).max()
    chosen = nk.comparing.ranks(everything.query("selected != @LAST"), setting)["mean"]
    hardest = " ".join(map(str, best_of.idxmin()))
    told = say(
        "**What we saw.**",
        f"- The {only.shape[1]} settings have **{first.nunique()} different winners** at the last epoch:"
        f" {listed(f'{name} ({(first == name).sum()})' for name in first.value_counts().index)}.",
        f"- On the whole {places.index[0]} has the best place at the last epoch ({places['mean'].iloc[0]:.1f} on average), then"
        f" {listed(f'{name} ({place:.1f})' for name, place in places['mean'].iloc[1:3].items())}. NoiseAL and SiDyP were developed"
        " on these two corpora here, with noise made like this. It may be no accident, and it is why a comparison needs data"
        " on which nobody has tuned.",
        f"- Where noisy validation labels choose the epoch, NoiseAL is number {list(chosen.index).index('NoiseAL') + 1} of"
        f" {len(chosen)}, and {chosen.index[0]} is first.",
        f"- The hardest setting, where the best method has least ({amount(best_of.min())}), is {hardest}.",
    )
told

# %% [markdown]
# This holds for this size and this profile. The [benchmarks page](../benchmarks/README.md) has more training texts,
# profile `class`, and labels by a language model, where the order is another one.

# %% tags=["check"]
if grid:
    runs_of = everything.groupby([*setting, "method"]).size()
    assert len(runs_of) == 8 * everything["method"].nunique()
    assert (runs_of == 2 * len(GRID["seeds"])).all(), "all methods in all settings, at both epochs"
    n = everything["method"].nunique()
    assert np.allclose(only.sum(), n * (n + 1) / 2), "places of a setting sum to 1 + … + n"
    for column in only:
        assert only.loc[first[column], column] == only[column].min(), "a winner has the first place"
    if not grid.live:
        assert first.nunique() >= 3, "different settings have different winners"
        assert places.index[:3].tolist() == ["SiDyP", "NoiseAL", "ConfidentLearning"]
        assert first["20ng asymmetric 0.4"] == "ConfidentLearning"
        assert 3 <= list(chosen.index).index("NoiseAL") <= n - 3, "in the middle"
        for dataset in GRID["datasets"]:
            kind, rate = best_of[dataset].idxmin()
            assert (kind, rate) == ("asymmetric", 0.4), "the hardest"

# %% [markdown]
# ## 6. A report to be proud of
#
# A checklist. Each point is one that papers leave out.
#
# - What was **selected**, and by which labels; the last epoch beside it.
# - **Mean and spread** over seeds, the number of seeds, and what a seed changes.
# - **Accuracy and macro F1**, and calibration if probabilities are used.
# - **Simple rivals** with the same encoder; an **upper bound** that is called one.
# - What was **tuned**, on which data, and by whose labels. What was tried and did **not** work.
# - What it **cost**: time, memory, questions to a language model.
# - Who the **annotator** was. A simulated one is called simulated.

# %% tags=["result"]
table = (
    scores.groupby(["method", "selected"], sort=False)
    .agg(
        **{
            "test accuracy": ("accuracy", "mean"), "sd": ("accuracy", lambda a: a.std(ddof=0) if len(a) > 1 else np.nan),
            "macro F1": ("macro_f1", "mean"), "ECE": ("ece", "mean"), "seconds": ("seconds", "mean"),
            "seeds": ("seed", "nunique"),
        }
    )
    .reset_index()
)  # fmt: skip
result = table.assign(method=table["method"] + ", " + table["selected"])
result = result.drop(columns=["selected", "seconds", "seeds"])
setup.write(result=result, table=table, differences=sure, data=data or dataset, query_budget=query_budget)
result.round(3)

# %% [markdown]
# ## 7. On your data
#
# 1. Set `data` at the top to the absolute path of your file: CSV, TSV, JSON, JSONL or Parquet, with the columns
#    `text`, `noisy_label` (what your annotators or your language model said) and `label` (what you have checked,
#    for a few hundred rows drawn at random; empty elsewhere). Other names go into `text_column`, `label_column`
#    and `gold_column`.
# 2. Run the notebook again, or on the command line:
#
#        nlkit course 10_compare -p data=/absolute/path/my.csv -p seeds=1
#
# The page then speaks of your file: the noise is what it is, and seeds change only the training. Checked rows
# are the test set. They are the best investment you can make: without them nobody knows which of these methods
# helps you. (A folder with `train`, `test` and perhaps `validation` files will do as well. Where labels may be
# one in two spellings, you are shown the `label_map` to write there, as text.) The last cell then shows what is wrong with your labels.
#
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
#
# - Same data, same models, same selection, simple rivals, several seeds. Otherwise it is no comparison.
# - How an epoch is selected matters as much as the method.
# - Spread over seeds and the interval over test texts answer different questions. Report both.
# - No method wins everywhere. Know your classes, their sizes and your kind of noise.
# - The winner of many has been lucky, too.
#
# ## Exercises
#
# Each is checked at once. `nk.check.compare.q1.hint()` gives a hint to the first, and a further one when it
# is called again.
#
# **1.** A method reaches an accuracy of 0.90 on 600 test texts. How large is the standard error of this
# number, as a share? (For a share p of n texts it is √(p · (1 − p) / n).)

# %% tags=["solution"]
answer_1 = np.sqrt(0.9 * 0.1 / 600)
# stub:
# answer_1 = None  # a number between 0 and 1
nk.check.compare.q1(answer_1)

# %% [markdown]
# **2.** Nine methods are in truth exactly as good as CE. Each is compared with it at the 95 % level, and we
# pretend that the comparisons are independent. How probable is at least one "significant" difference?

# %% tags=["solution"]
answer_2 = 1 - 0.95**9
# stub:
# answer_2 = None  # a probability
nk.check.compare.q2(answer_2)

# %% [markdown]
# **3.** All training and validation labels are noisy, and the accuracy on the test set will be reported. By
# what may the epoch be chosen: `"test labels"`, `"noisy validation labels"` or `"true validation labels"`?

# %% tags=["solution"]
answer_3 = "noisy validation labels"
# stub:
# answer_3 = None  # one of the three
nk.check.compare.q3(answer_3)

# %% [markdown]
# **4.** What does each tell about: the standard deviation over seeds, and the bootstrap interval? Each is
# `"another training run"` or `"other test texts"`.

# %% tags=["solution"]
answer_4 = ("another training run", "other test texts")
# stub:
# answer_4 = (None, None)  # for the deviation, for the interval
nk.check.compare.q4(answer_4)

# %% [markdown]
# **5.** Write it: the percentile bootstrap of a mean, with draws that are given. `values` has one number a
# test text (N), `drawn` the numbers of the texts of each draw (one draw a row, N columns).


# %% tags=["solution"]
def interval(values, drawn, level):
    means = values[drawn].mean(1)
    return np.quantile(means, (1 - level) / 2), np.quantile(means, (1 + level) / 2)


# stub:
# def interval(values, drawn, level):
#     """Return the lower and the upper end of the middle part, `level`, of the means."""
#     return None  # your code


nk.check.compare.q5(interval)

# %% tags=["score"]
nk.check.compare.score()

# %% [markdown]
# ## Instructor's note
#
# Where it speaks of results, they are those of the recorded runs.
#
# - **Timing**: 60 minutes. Sections 1 and 2 take 20, sections 3 and 4 take 20, the explorer 10, the report
#   10.
# - **Misconceptions**: that overlapping intervals of two methods prove them equal (look at the paired
#   difference); that a significant difference is a large one; that the standard deviation over seeds covers
#   the choice of the test texts; that the best of ten on a test set will be as good on the next one.
# - **Ask the class**: "Your boss wants one number and one method by tonight. You have 5,000 texts labelled by
#   a language model, and an hour of your own time. What do you do with the hour?" Label test texts.
#
# ## Next
#
# - Move the explorer's epoch to *best by noisy validation*: who gains most?
# - Set `noise = "llm"`: the language model's labels, and the same methods on them. It asks for every text once.
# - Write a method of your own, `@nk.register_method` above its class (see [CONTRIBUTING.md](../CONTRIBUTING.md)), and
#   add its name to `METHODS`: it takes part in all but the recorded grid.

# %% [markdown]
# ## Your labels
#
# With `data` set: the report of `nk.clean`, to be shown to others. It stands alone as `report.html` in the folder
# `cleaned` (by default beside your file), with the cleaned file and a list to review.

# %%
page = None
if data:
    place = Path(cleaned or Path(data).with_name(f"{Path(data).stem}-cleaned"))
    nk.clean(setup.clean, out=place, **setup.shared)
    text = escape((place / "report.html").read_text("utf-8"))
    page = HTML(f'<iframe title="Labels, reviewed" style="width:100%;height:60rem" srcdoc="{text}"></iframe>')
page

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
#
# {{measured}}
#
# {{places}}
#
# | in the papers | in the code |
# |---|---|
# | NoiseAL (arXiv 2504.02901) | `nk.NoiseAL` |
# | SiDyP (arXiv 2505.19675) | `nk.SiDyP` |
# | generalised cross-entropy, GCE (Zhang and Sabuncu 2018, arXiv 1805.07836) | `nk.Baseline(loss="gce")` |
# | symmetric cross-entropy, SCE (Wang et al. 2019, arXiv 1908.06112) | `nk.Baseline(loss="sce")` |
# | early-learning regularisation, ELR (Liu et al. 2020, arXiv 2007.00151) | `nk.Baseline(loss="elr")` |
# | mixup (Zhang et al. 2018, arXiv 1710.09412), of sentence embeddings | `nk.Baseline(loss="mixup")` |
# | confident learning (Northcutt et al. 2021, arXiv 1911.00068), by cleanlab | `nk.ConfidentLearning` |
# | labels of the nearest neighbours | `nk.KNNRelabel` |
# | bootstrap interval (Efron 1979) | `nk.metrics.bootstrap_interval` |
#
# </details>

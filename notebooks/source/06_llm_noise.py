# %% [markdown]
# # Labels made by a language model: noise with a rule
#
# A language model's wrong labels tend to follow a rule, and rules are learnt early: what works on made-up noise may fail.
#
# **Afterwards you can**
#
# - show what labels look like that a language model made, and how they differ from symmetric noise;
# - say how much depends on the way it is asked, and what calibration does about favourite labels;
# - use its confidence as a first filter, and say what that costs;
# - say why mistakes with a rule are learnt early.
#
# **You need** notebooks 01 and 02; 04 helps.

# %% tags=["setup"]
# {{setup}}

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 300
test_size = 500
noise = "llm"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
texts_per_class = 12
repeats = 3
recorded = True
results = ""

# %% [markdown]
# With `noise = "llm"` the language model labels all training and validation texts, and `noise_rate` is not
# used: the rate is what comes out. `texts_per_class` limits the texts that are asked about in other ways;
# classifiers are trained `repeats` times.

# %%
import numpy as np
import pandas as pd

import nlkit as nk
from nlkit.annotate.labelling import llm_answers
from nlkit.course.saying import amount, compare, extremes, kept_shares, listed, ranked, say, when

pd.set_option("display.width", 110)

setup = nk.course.setup(
    profile=profile, seed=seed, dataset=dataset, train_size=train_size, test_size=test_size, noise=noise,
    noise_rate=noise_rate, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
    recording="llm_noise",
)  # fmt: skip
names, texts, label = setup.names, setup.texts, setup.label
C = len(names)

setup

# %% [markdown]
# ## 1. What the labels look like
#
# **Question.** A language model labels the texts and nobody checks. Where are its mistakes?
#
# **Experiment.** SmolLM2 is shown one true example a class, the same for all texts, and says which label word
# it finds likeliest. (The way of asking is chosen so that many labels are wrong: that is what the methods
# of this course are for.) We measure the transition matrix, and beside it add symmetric and
# instance-dependent noise of the same rate to the true labels.
#
# The labels come first. Live, the language model is asked about every text, unless its answers are stored
# already.

# %%
setup.labels


# %%
def measure():
    report = nk.noise_report(setup.ds)
    same_rate = {
        kind: nk.noise_report(nk.add_noise(setup.clean, kind=kind, rate=report.rate, seed=seed))
        for kind in ("symmetric", "instance")
    }
    reports = {"llm": report} | same_rate
    return {f"counts_{name}": r.counts for name, r in reports.items()} | {
        "classes": report.table,
        "length": report.by_length.astype({"words_from": float, "words_to": float}),
        "noisy_label": setup.noisy_label,
    }


run = setup.run("llm_noise", measure)
run

# %%
counts = {name: run[f"counts_{name}"] for name in ("llm", "symmetric", "instance")}
with np.errstate(invalid="ignore"):
    matrix = {name: c / c.sum(1, keepdims=True) for name, c in counts.items()}
rate = {name: 1 - np.trace(c) / c.sum() for name, c in counts.items()}
studied = f"labels by {annotator}" if noise == "llm" else noise
title = {"llm": studied, "symmetric": "symmetric", "instance": "instance-dependent"}

fig, axes = nk.plots.figure(1, 3, width=13, height=4.8)
alt = " ".join(
    nk.plots.draw_transition_matrix(
        matrix[name], names, ax, title=f"{title[name]}: {100 * rate[name]:.0f} % wrong"
    )
    for name, ax in zip(counts, axes, strict=True)
)
nk.plots.show(fig, alt)

# %%
run["classes"].round(2)

# %% tags=["finding"]
kept, least = kept_shares(counts["llm"], names)
kept_of_same, _ = kept_shares(counts["symmetric"], names)
large = np.argsort(-counts["llm"].sum(1), kind="stable")[:2]
off = {name: c - np.diag(np.diag(c)) for name, c in counts.items()}
to_large = {title[name]: o[:, large].sum() / max(1, o.sum()) for name, o in off.items()}
told = say(
    f"**What we saw.** Wrong are {listed(f'{title[name]} {amount(share)}' for name, share in rate.items())}. Of the classes",
    f"with {least} texts or more ({len(kept)}), by the share of labels kept with {studied}, {extremes(kept)};",
    f"symmetric noise keeps {amount(kept_of_same.min())} to {amount(kept_of_same.max())}.",
)
large_told = say(
    f"To the two largest classes, {names[large[0]]} and {names[large[1]]}, goes this part of the mistakes:"
    f" {ranked(to_large)}.",
    "(Topics with a handful of texts say little: look at n.)",
)
say(told, large_told)

# %% [markdown]
# **Why.** A language model's mistakes come from the words, the examples and its habits. Ask again and the same
# text gets the same wrong label: it is a *rule*, and not chance.

# %% tags=["check"]
for name, m in matrix.items():
    present = counts[name].sum(1) > 0
    assert np.allclose(m[present].sum(1), 1), "each row sums to 1"
told.check(kept)
large_told.check(to_large)
assert (run["noisy_label"] < C).all()
if run.as_given:
    assert 0.25 < rate["llm"] < 0.65, "a large share should be wrong"
    assert kept.max() > 0.85, "some topic should keep nearly all its labels"
    assert kept.min() < 0.5, "another one should lose most of them"
    assert np.ptp(kept) > np.ptp(kept_of_same) + 0.1, "symmetric noise treats classes alike"
    assert to_large[title["instance"]] > to_large[title["llm"]] + 0.1, (
        "the model does not prefer large topics"
    )

# %% [markdown]
# ## 2. Are long texts harder?
#
# One might think that the rate depends on how much there is to read. The texts in four groups of about the
# same size, from the shortest to the longest:

# %%
run["length"].round(2)

# %% tags=["finding"]
length = run["length"]
by_length = length["rate"].dropna().to_numpy()
by_class = run["classes"].loc[run["classes"]["n"] >= 10, "rate"]
trend = (
    "rises"
    if (np.diff(by_length) > 0).all()
    else "falls"
    if (np.diff(by_length) < 0).all()
    else "has no trend"
)
told = say(
    f"**What we saw.** From the shortest to the longest texts the share of wrong labels {trend}; it lies between"
    f" {amount(by_length.min())} and {amount(by_length.max())}.",
    when(
        len(by_class) > 1,
        f"Between classes (of ten texts or more) it lies between {amount(by_class.min())} and"
        f" {amount(by_class.max())}, so that a difference between lengths may be one between classes.",
    ),
    when(noise == "llm", "The model reads the first 48 tokens of a text anyway."),
)
told

# %% tags=["check"]
assert length["n"].sum() == counts["llm"].sum()
if run.as_given:
    assert np.ptp(by_length) < np.ptp(by_class), "topics should differ more than lengths"
    assert trend == "has no trend"

# %% [markdown]
# ## 3. Another way to ask, another noise
#
# **Question.** How much of this is the texts, and how much is the way of asking?
#
# **Experiment.** At most a dozen texts of each topic, so that small topics have a row to show, asked in three
# ways, each with up to three calibrations (next section):
#
# - **zero-shot**: the labels are listed, no example;
# - **fixed**: one true example a topic, the same for all texts, as in section 1;
# - **gold pool**: 64 texts with true labels; each question is shown the nearest one by MiniLM.
#
# The two last ones need true labels: one a topic, and 64. The pool is drawn from the training texts; a text
# is never its own example.

# %%
WAYS = {"zero-shot": ("none", "contextual", "batch"), "fixed": ("none", "contextual", "batch"),
        "gold pool": ("none", "batch")}  # fmt: skip


def ask_in_all_ways():
    train = setup.clean["train"]
    rows = train.to_pandas().groupby("label").head(texts_per_class).index.sort_values().to_numpy()
    # Fixed examples and pool come from all training texts; asked are the chosen ones.
    ds = type(setup.clean)(train=train, validation=train.select(rows))
    how = {
        "zero-shot": {},
        "fixed": {"shots": 1, "seed": nk.course.DEMONSTRATION_SEED},
        "gold pool": {"shots": 1, "pool": nk.gold_pool(setup.clean, min(64, len(train)), seed)},
    }
    tables = []
    for way, calibrations in WAYS.items():
        for calibration in calibrations:
            llm = nk.course.labeller(annotator, ds, calibration=calibration, list_labels=way == "zero-shot")
            answers = llm_answers(ds, llm, **how[way], encoder=encoder, splits=["validation"])
            told = answers[["label", "confidence"]].assign(way=way, calibration=calibration, index=rows)
            tables.append((told, answers.filter(regex=r"^p_\d+$").to_numpy()))
    answers, probability = zip(*tables, strict=True)
    return {
        "answers": pd.concat(answers, ignore_index=True), "probability": np.concatenate(probability)
    }  # fmt: skip


ways_run = setup.run("llm_noise_ways", ask_in_all_ways, texts_per_class=texts_per_class)
ways_run

# %%
USUAL = {"zero-shot": "none", "fixed": "contextual", "gold pool": "none"}


def usual(answers):
    """Return the answers of each way with the calibration that it has by default."""
    return answers[answers["calibration"] == answers["way"].map(USUAL)]


nk.widgets.explore(
    ways_run,
    lambda run: nk.widgets.answer_noise_explorer(usual(run["answers"]), label, texts, names, way="fixed"),
)

# %% tags=["finding"]
answers = ways_run["answers"]
answers["right"] = answers["label"].to_numpy() == label[answers["index"]]
wrong_share = 1 - answers.groupby(["way", "calibration"], sort=False)["right"].mean()
usually = {way: wrong_share[way, calibration] for way, calibration in USUAL.items()}
said = {
    way: own["label"].value_counts(normalize=True) for way, own in usual(answers).groupby("way", sort=False)
}
told = say(
    f"**What we saw.** Wrong are, by the way of asking: {ranked(usually)}.",
    *(
        f"{way[0].upper()}{way[1:]}: the two commonest answers, {listed(names[c] if c >= 0 else 'none' for c in few.index[:2])},"
        f" are {amount(few.head(2).sum(), digits=0)} of all."
        for way, few in said.items()
    ),
)
told

# %% [markdown]
# **Why.** The texts are the same. So "the noise of an LLM" is no property of the model alone; a paper that
# reports it has to say how it asked. And the cheap remedy comes first: 64 labelled texts can do more for these
# labels than most methods for learning with the bad ones. (Notebook 04 tells whose merit that is.)
#
# Choose one class and go through the ways. Which of its texts are wrong in all of them?

# %% tags=["check"]
told.check(usually)
assert wrong_share.between(0, 1).all()
assert np.allclose(ways_run["probability"].sum(1), 1, atol=0.01)
if ways_run.as_given:
    assert usually["gold pool"] < 0.25, "near gold examples should leave few mistakes"
    assert usually["gold pool"] < usually["fixed"] - 0.1
    assert usually["fixed"] < usually["zero-shot"] - 0.1
    assert said["zero-shot"].head(2).sum() > 0.6, "zero-shot should use one or two labels mostly"

# %% [markdown]
# ## 4. Labels it likes to say
#
# **Question.** The topics are asked about nearly equally often. Are the labels given equally often too?


# %%
def shares(way, calibration):
    own = answers[(answers["way"] == way) & (answers["calibration"] == calibration)]
    given = own.loc[own["label"] >= 0, "label"]
    return np.bincount(given, minlength=C) / max(1, len(given))


rows_asked = answers["index"].unique()
fig, ax = nk.plots.figure(width=9, height=max(4.6, 0.5 * C))
alt = nk.plots.draw_label_shares(
    {"true labels": np.bincount(label[rows_asked], minlength=C) / len(rows_asked)}
    | {f"fixed, {calibration}": shares("fixed", calibration) for calibration in WAYS["fixed"]},
    names, ax,
)  # fmt: skip
nk.plots.show(fig, alt)

# %% [markdown]
# Raw (*none*), a model may give most texts one and the same label. **Calibration** divides such a habit out:
#
# - **contextual**: ask about texts without content ("N/A", nothing, "[MASK]"), and divide each label's
#   probability by what it gets there. $P(y \mid x)$ becomes proportional to $P(y \mid x) / P(y \mid \text{no text})$.
# - **batch**: divide by the mean probability of each label over all texts asked. This takes for granted that
#   all labels are about equally frequent, which holds for the texts asked here and rarely for a whole set.

# %%
wrong_share.rename("wrong").reset_index().pivot_table(
    index="way", columns="calibration", values="wrong", sort=False
).round(2)

# %% tags=["finding"]
by_calibration = {f"{way}, {calibration}": share for (way, calibration), share in wrong_share.items()}
told = say(
    "**What we saw.** Wrong labels with calibration and without:",
    *(
        f"- {compare(by_calibration, f'{way}, {calibration}', f'{way}, none')};"
        for way in WAYS
        for calibration in WAYS[way]
        if calibration != "none"
    ),
)
told

# %% tags=["finding"]
favourite = {f"fixed, {calibration}": shares("fixed", calibration).max() for calibration in WAYS["fixed"]}
say(
    f"With fixed examples, this part of all answers is the favourite label: {ranked(favourite)}.",
    "Habits differ by prompt: a model likes the last example's label, and words that are frequent anywhere. An empty text",
    "shows such habits only as far as they do not depend on the text. (And no calibration makes an answer right that the",
    "model has no idea of.)",
)

# %% tags=["check"]
told.check(by_calibration)
if ways_run.as_given:
    assert shares("fixed", "none").max() > 0.5, "raw answers should be one label mostly"
    for calibration in ("contextual", "batch"):
        assert shares("fixed", calibration).max() < shares("fixed", "none").max() - 0.2
        assert wrong_share["fixed", calibration] < wrong_share["fixed", "none"] - 0.15
    assert wrong_share["zero-shot", "batch"] < wrong_share["zero-shot", "none"] - 0.03
    assert abs(wrong_share["zero-shot", "contextual"] - wrong_share["zero-shot", "none"]) < 0.15
    assert abs(wrong_share["gold pool", "batch"] - wrong_share["gold pool", "none"]) < 0.08

# %% [markdown]
# ## 5. Does its confidence give the mistakes away?
#
# Noise that we make ourselves comes without a confidence; a language model's labels have one. Keep the
# surest answers only (coverage falls from right to left):

# %%
by_way = dict(list(usual(answers).groupby("way", sort=False)))
coverage = {way: nk.metrics.coverage_report(by_way[way]["confidence"], by_way[way]["right"]) for way in WAYS}
fig, ax = nk.plots.figure(width=9, height=4)
alt = nk.plots.draw_coverage(coverage, ax)
nk.plots.show(fig, alt)

# %% tags=["finding"]
all_right = {way: curve["accuracy"].iloc[-1] for way, curve in coverage.items()}
half = {way: curve.loc[curve["coverage"] >= 0.5, "accuracy"].iloc[0] for way, curve in coverage.items()}
better = [way for way in half if half[way] > all_right[way] + 0.005]
good = coverage["fixed"].query("accuracy >= 0.9")["coverage"].max()
told = say(
    f"**What we saw.** Right in the surer half: {ranked(half)}. The surer half is right more often than all together with"
    f" {listed(better, 'no way of asking')}.",
    when(len(better) == len(half), "So the confidence is a free hint, and the first filter to try."),
    when(
        np.isfinite(good),
        f"To have nine in ten labels right with fixed examples, the surest {amount(good)} may stay.",
        "With fixed examples no share of the surest answers has nine in ten labels right.",
    ),
    "What is dropped are the hard texts, which one wants to learn.",
)
told

# %% tags=["check"]
told.check(half)
for curve in coverage.values():
    assert np.isclose(curve["coverage"].iloc[-1], 1)
if ways_run.as_given:
    assert len(better) == len(WAYS), "the surer half should be better"
    assert np.isnan(good) or good < 0.7, "nine in ten right: many texts must go"

# %% [markdown]
# ## 6. Mistakes with a rule are learnt early
#
# **Question.** With symmetric noise, a classifier fits right labels first and learns wrong ones by heart
# later (notebook 02). Is it so with a language model's labels?
#
# **Experiment.** Cross-entropy on MiniLM (frozen in `quick`), on the same texts, with the labels of section
# 1, and with symmetric and instance-dependent noise of the same rate. Means over a few seeds.


# %%
def train():
    rate = nk.noise_report(setup.ds).rate

    def curve(name, number):
        ds = setup.ds
        if name != "llm":
            ds = nk.add_noise(setup.clean, kind=name, rate=rate, seed=number)
        ce = nk.Baseline(loss="ce", record=True, **setup.shared | {"seed": number}).fit(
            ds, eval_splits=("test",)
        )
        noisy = np.array(ds["train"]["noisy_label"][:])
        fitted = nk.plots.fitted_shares(ce.dynamics_["strong"], noisy, label)
        # The less a model believes a label, the more suspicious it is.
        believed = np.array([p[np.arange(len(noisy)), noisy] for p in ce.dynamics_["strong"]])
        auc = [nk.metrics.detection_report(1 - b, noisy, label)["auc"] for b in believed]
        test = ce.history_["accuracy_test"].to_numpy()
        return fitted.assign(noise=title[name], test=test, detection=auc).to_dict("list")

    kinds = {title[name]: name for name in title}.values()  # the studied noise may be one of the others
    runs = [(name, seed + repeat) for repeat in range(repeats) for name in kinds]
    curves = pd.concat(map(pd.DataFrame, nk.resuming.each(runs, curve)))
    return {"curves": curves.groupby(["noise", "epoch"], sort=False).mean().reset_index()}


pace = setup.run("llm_noise_pace", train, repeats=repeats)
pace

# %%
curves = pace["curves"]
fig, axes = nk.plots.figure(1, 2, width=11.5, height=4.4)
alt = nk.plots.draw_fitted_pace(curves, axes[0])
tests = {name: own["test"].to_numpy() for name, own in curves.groupby("noise", sort=False)}
alt += " On the test set, true labels: " + nk.plots.draw_accuracy(tests, axes[1])
axes[1].set_ylabel("test accuracy, true labels (%)")
nk.plots.show(fig, alt)

# %%
PROGRESS = min(0.85, curves.groupby("noise")["clean"].max().min())  # all of them come as far
early = curves[curves["clean"] >= PROGRESS].groupby("noise", sort=False).first()
early = early.rename(
    columns={"clean": "right labels fitted", "mislabelled": "wrong labels fitted", "test": "test accuracy",
             "corrected": "true class predicted", "detection": "AUC of the suspicion"}
)  # fmt: skip
early.round(2)

# %% tags=["finding"]
fitted_early = early["wrong labels fitted"]
best = curves.groupby("noise", sort=False)["test"].max()
when_best = curves.loc[curves.groupby("noise", sort=False)["test"].idxmax()].set_index("noise")["epoch"]
told = {
    "fitted": say(
        f"**What we saw.** At the same progress on right labels, wrong ones are fitted to this part:"
        f" {ranked(fitted_early)}."
    ),
    "best": say(
        f"The best test accuracy is {ranked(best)}, in epoch {listed(f'{e} ({n})' for n, e in when_best.items())}."
    ),
    "auc": say(f"By the AUC of the suspicion, {extremes(early['AUC of the suspicion'], '')}."),
}
say(
    f"The table shows each at the first epoch at which {amount(PROGRESS, digits=0)} of the right labels are fitted. AUC is the"
    " area under the ROC curve of one minus the probability of the label as a finder of wrong labels: 1 finds them all,"
    " 0.5 is chance.\n\n",
    *told.values(),
    when(
        fitted_early.get(studied, np.nan) > fitted_early.get(title["symmetric"], np.nan) + 0.03,
        f"More of the mistakes of {studied} are learnt early than of symmetric noise.",
    ),
)

# %% [markdown]
# **Why a rule is learnt early.** To fit a symmetric mistake, a model must learn that one text by heart. A language
# model's mistakes share a cause: all texts with certain words went to one topic. That is as learnable as a
# topic, from the first epoch on. So methods that trust "early means clean" lose their footing, the small-loss rule
# and NoiseAL's threshold among them, and neighbours agree on the wrong label too. SiDyP was made for this: it
# looks at whole trajectories and at neighbours that are not suspect (notebooks 07 and 09).

# %% tags=["check"]
assert curves[["clean", "test", "detection"]].apply(lambda s: s.dropna().between(0, 1)).all(axis=None)
told["fitted"].check(fitted_early)
told["best"].check(best, alt)
told["auc"].check(early["AUC of the suspicion"])
if pace.as_given:
    assert fitted_early[studied] > fitted_early[title["symmetric"]] + 0.03, "rules are learnt early"
    half_way = curves[curves["epoch"] == curves["epoch"].max() // 2 + 1].set_index("noise")["mislabelled"]
    assert half_way[studied] > half_way[title["symmetric"]] + 0.2
    assert half_way[title["symmetric"]] - 0.05 < half_way[title["instance"]] < half_way[studied]
    assert best[studied] < best[title["symmetric"]] - 0.02, "the best is lower"
    assert when_best[studied] <= when_best[title["symmetric"]], "and sooner over"
    assert early["AUC of the suspicion"][studied] < early["AUC of the suspicion"][title["symmetric"]] - 0.03

# %% tags=["result"]
result = pd.DataFrame({"asked": list(by_calibration), "wrong labels": list(by_calibration.values())})
setup.write(
    result=result,
    classes=run["classes"],
    wrong=wrong_share.rename("wrong").reset_index(),
    pace=early.reset_index(),
)
result.round(3)

# %% [markdown]
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
#
# - A language model's mistakes follow a rule: by topic, by word, by habit. Look at the matrix, not the rate.
# - The way of asking makes the noise. Say how you asked; try a few gold examples near the question first.
# - Calibration divides out favourite labels. Batch calibration assumes balanced classes.
# - The confidence is worth something, as a first filter.
# - Mistakes with a rule are learnt early. What works on symmetric noise may fail here: test on both.
#
# ## Exercises
#
# Each is checked at once. `nk.check.llm_noise.q1.hint()` gives a hint to the first, and a further one when
# it is called again.
#
# **1.** A model says *earn* with probability 0.6 and *acq* with 0.4. About an empty text it says *earn* with
# 0.9 and *acq* with 0.1. What is the probability of *acq* after contextual calibration?

# %% tags=["solution"]
quotient = np.array([0.6 / 0.9, 0.4 / 0.1])
answer_1 = quotient[1] / quotient.sum()
# stub:
# answer_1 = None  # a number
nk.check.llm_noise.q1(answer_1)

# %% [markdown]
# **2.** Batch calibration divides by the mean answer over all texts asked. You ask about texts of which nine
# in ten are *earn*, and the model is right about all of them. What will calibration do to the number of
# *earn* labels: `"fewer"`, `"same"` or `"more"`? And will more labels be wrong than before, or fewer? Answer
# with two words.

# %% tags=["solution"]
p = np.array([[0.7, 0.3]] * 8 + [[0.55, 0.45]] + [[0.2, 0.8]])  # nine times earn, once acq
calibrated = p / p.mean(0)
assert (p.argmax(1) == 0).sum() == 9
assert (calibrated.argmax(1) == 0).sum() < 9
answer_2 = ("fewer", "more")
# stub:
# answer_2 = (None, None)  # two words: earn labels, wrong labels
nk.check.llm_noise.q2(answer_2)

# %% [markdown]
# **3.** Two sets of labels are 40 % wrong: one by symmetric noise, one because a model calls everything with
# the word *dollar* "money-fx". In which one does a classifier fit wrong labels earlier: `"symmetric"`,
# `"rule"` or `"same"`?

# %% tags=["solution"]
answer_3 = "rule"
# stub:
# answer_3 = None  # one word
nk.check.llm_noise.q3(answer_3)

# %% [markdown]
# **4.** A model labels two topics. It is right about 90 % of topic A and 30 % of topic B. Of the texts, 80 %
# are of topic A. What share of all labels is wrong?

# %% tags=["solution"]
answer_4 = 0.8 * (1 - 0.9) + 0.2 * (1 - 0.3)
# stub:
# answer_4 = None  # a number
nk.check.llm_noise.q4(answer_4)

# %% [markdown]
# **5.** Write it: contextual calibration of one answer, from the probabilities that a model gives the
# classes for a text and for an empty text (arrays of C).


# %% tags=["solution"]
def calibrate(p, empty):
    quotient = p / empty
    return quotient / quotient.sum()


# stub:
# def calibrate(p, empty):
#     """Return calibrated probabilities, shape (C,)."""
#     return None  # your code


nk.check.llm_noise.q5(calibrate)

# %% tags=["score"]
nk.check.llm_noise.score()

# %% [markdown]
# ## Instructor's note
#
# Where it speaks of results, they are those of the recorded runs.
#
# **Time**: 15 minutes to talk through, 15 with the explorer, 10 for the exercises.
#
# **Misconceptions**: *"60 % right is 60 % right."* Show the matrices of section 1 side by side. *"A larger
# model has no such noise."* It has less of it; the papers' LLM labels are wrong by a rule too. *"Calibration
# makes the model better."* It moves labels from a favourite to others; look at which topics lose by it.
#
# **Ask the class**: you may check 50 labels by hand. Which ones would you check: random ones, the least sure
# ones, or those of the topic that the model uses most? What would each tell you?
#
# ## Next
#
# - `07_dynamic_prior` doubts these labels by their trajectories and asks the neighbours.
# - Here: `noise = "instance"` puts instance-dependent noise in section 1's first place; `dataset = "20ng"`
#   has topics whose names say more.
# - Read `nlkit/annotate/labelling.py` and the function `calibrate` in `nlkit/annotate/local.py`.

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
#
# {{measured}}
#
# {{places}}
#
# | in the papers | in the code |
# |---|---|
# | labels generated by an LLM (SiDyP, arXiv 2505.19675) | `nk.label_with_llm` |
# | zero-shot and few-shot with fixed examples (Brown et al. 2020, arXiv 2005.14165) | `shots=` |
# | few-shot with retrieved examples (Liu et al. 2022, arXiv 2101.06804) | `nk.gold_pool`, `pool=` |
# | contextual calibration (Zhao et al. 2021, arXiv 2102.09690) | `LocalLLM(calibration="contextual")` |
# | batch calibration (Zhou et al. 2023, arXiv 2309.17249) | `LocalLLM(calibration="batch")` |
# | memorisation of wrong labels (Arpit et al. 2017, arXiv 1706.05394) | `nk.plots.fitted_shares` |
#
# </details>

# %% [markdown]
# # Label noise: what a wrong label looks like
#
# **You will learn**
#
# - three kinds of label noise, and the transition matrix that describes them;
# - why a rate of 40 % wrong labels can mean that nine in ten labels of a small class are wrong;
# - how far the noise you get may be from the noise you asked for;
# - what the labels of a language model look like beside noise that is made up;
# - what noise costs a classifier, and why the kind matters as much as the rate.
#
# **You need** notebook 00, and what a conditional probability is.
#
# {{measured}}
#
# {{places}}
#
# | in the papers | in the code |
# |---|---|
# | transition matrix T, P(noisy label given true label) | `nk.transition_matrix` |
# | symmetric and asymmetric (pair) noise | `nk.add_noise` |
# | instance-dependent noise; our version of Xia et al. (2020, arXiv 2006.07836) | `nlkit.noise.flip_rates` |
# | labels made by a language model, as in SiDyP (arXiv 2505.19675) | `nk.label_with_llm` |
# | the noise that NoiseAL (arXiv 2504.02901) and SiDyP have to find | `nk.noise_report` |

# %% tags=["setup"]
# {{setup}}

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 600
test_size = 500
noise = "symmetric"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
llm_labelled = 120
draws = 2
recorded = True
results = ""

# %% [markdown]
# `llm_labelled` is how many texts the language model labels in section 4, `draws` how often each noise of
# section 5 is drawn. With `recorded = True`, experiments whose settings are the recorded ones are not run.

# %%
import numpy as np
import pandas as pd

import nlkit as nk

setup = nk.course.setup(
    profile=profile, seed=seed, dataset=dataset, train_size=train_size, test_size=test_size, noise=noise,
    noise_rate=noise_rate, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
)  # fmt: skip
names, label = setup.names, setup.label
C = len(names)
# Labels of a language model are looked at in section 4; the sections before need noise of a known rate.
kind = noise if noise in nk.noise.KINDS else "symmetric"

setup

# %% [markdown]
# ## 1. Three kinds of noise
#
# **Question.** A label is wrong. What does it say instead?
#
# - **Symmetric**: anything, all other classes alike. A slip of the mouse.
# - **Asymmetric**: always the same other class. A rule that is wrong, two topics that are mixed up.
# - **Instance-dependent**: what the text resembles; and some texts are more likely to be mislabelled than
#   others. This is nearest to what people do. Here a classifier on word counts, trained on the true
#   labels, says what a text resembles.
#
# The **transition matrix** T holds them all: T[i, j] = P(noisy label = j | true label = i). Rows are true
# classes. A text of class i gets *some* label, so each row sums to 1, and the diagonal is what is kept.
#
# Move kind and rate. Then choose a true class i and a noisy label j: the cell is framed, and the texts that
# went this way stand below. Which kind would you find hardest to notice by reading?

# %%
nk.widgets.noise_explorer(setup.clean, kind=kind, rate=noise_rate, seed=seed)

# %% [markdown]
# **What we saw.** Symmetric noise fills all cells beside the diagonal with the same pale colour.
# Asymmetric noise puts all of it into one cell a row. Instance-dependent noise goes mostly to the large
# classes: a doubtful text resembles *earn* or *acq* sooner than *grain*, of which the classifier has seen
# a handful.

# %% tags=["check"]
views = {k: nk.widgets.compute_noise(setup.clean, k, 0.4, seed) for k in nk.noise.KINDS}
for view in views.values():
    present = ~np.isnan(view.matrix).any(1)
    assert np.allclose(view.matrix[present].sum(1), 1), "each row sums to 1"
    assert abs(view.achieved - 0.4) < 4 * np.sqrt(0.24 / len(label)) + 0.02, "the rate is about 0.4"
off = views["asymmetric"].matrix[present] > 0
assert (off.sum(1) <= 2).all(), "asymmetric noise knows one wrong label a class"
large = np.argsort(-np.bincount(label, minlength=C))[:2]
wrong = {k: v.matrix - np.diag(np.diag(v.matrix)) for k, v in views.items()}
to_large = {k: np.nansum(w[:, large]) / np.nansum(w) for k, w in wrong.items()}
assert to_large["instance"] > to_large["symmetric"], "instance-dependent noise prefers the large classes"

# %% [markdown]
# ## 2. What a label says about the truth
#
# **Question.** T tells how a true class is labelled. Who finds a label wants the opposite: the text is
# labelled *grain*; is it about grain?
#
# **Experiment.** Count. Bayes' rule says what to expect:
#
# P(true = i | noisy = j) = P(i) · T[i, j], divided by its sum over all i,
#
# where P(i) is how common class i is. The bars are counted on our training texts, the diamonds are what
# the rule expects.

# %%
noisy_ds = nk.add_noise(setup.clean, kind=kind, rate=noise_rate, seed=seed)
measured = nk.noise_report(noisy_ds)
prior = measured.counts.sum(1)
# Instance-dependent noise has no matrix to start from: what was measured takes its place.
T = measured.matrix if kind == "instance" else nk.transition_matrix(kind, C, noise_rate)

labelled = measured.counts.sum(0)
with np.errstate(invalid="ignore"):
    truth = pd.DataFrame(
        {
            "class_name": names,
            "true texts": prior,
            "labelled": labelled,
            "kept of the class": np.diag(measured.matrix),
            "right": np.diag(measured.counts) / labelled,
            "expected": np.diag(nk.noise.true_given_noisy(T, prior)),
        }
    )
truth.round(2)

# %%
fig, ax = nk.plots.figure(width=8, height=max(3.0, 0.32 * C + 1))
alt = nk.plots.draw_label_truth(truth, ax)
nk.plots.show(fig, alt)

# %% [markdown]
# **What we saw.** A class keeps about six labels in ten, give or take where it has few texts: the noise
# treats all alike. Yet of the texts
# labelled *earn*, the largest class, nine in ten are about earnings, and of those labelled *grain* or
# *ship* most are about something else.
#
# **Why.** Half of all texts are about *earn*. A small part of a large class is still a crowd beside a
# small class. So the rate alone does not say how far a label can be trusted; and a method that cleans
# labels finds it hardest where the class is small. Remember this when macro F1 and accuracy disagree.

# %% tags=["check"]
seen = truth[(truth["true texts"] > 0) & (truth["labelled"] > 0)]
assert seen["right"].between(0, 1).all()
assert seen["expected"].between(0, 1).all()
crowded = seen[seen["labelled"] >= 30]
room = 4 * np.sqrt(0.25 / crowded["labelled"]) + 0.05
assert ((crowded["right"] - crowded["expected"]).abs() < room).all(), "Bayes' rule is about right"
if (profile, dataset, train_size, kind, noise_rate) == ("quick", "r8", 600, "symmetric", 0.4):
    by_name = truth.set_index("class_name")["expected"]
    assert by_name["earn"] > 0.85, "a label of the largest class can be trusted"
    assert max(by_name["grain"], by_name["ship"]) < 0.35, "labels of small classes are mostly wrong"

# %% [markdown]
# ## 3. Wanted and achieved
#
# **Question.** We ask for a rate and flip each label with this probability. What do we get?
#
# **Experiment.** Add the same noise to the same labels a thousand times, for the first n of them. If
# every label flips by itself with probability r, the number of wrong ones is **binomial**: the achieved
# rate is r on average, with a standard deviation of √(r (1 − r) / n).

# %%
sizes = [n for n in (10, 30, 100, 300, 1000, 3000) if n < len(label)] + [len(label)]
usual = np.where(np.isnan(T), np.eye(C), T)  # a class without texts flips nothing
spread = nk.noise.rate_spread(label, usual, sizes, seed=seed)
fig, ax = nk.plots.figure(width=8, height=3.4)
alt = nk.plots.draw_rate_spread(spread, ax)
nk.plots.show(fig, alt)
spread.round(3)

# %% [markdown]
# **What we saw.** With ten labels anything can happen; with some hundreds the achieved rate is within a few
# percent of the wanted one. Whoever compares methods on small sets should report the achieved rate, and
# repeat with other draws: part of the difference between two methods may be one draw of the noise.

# %% tags=["check"]
assert (spread["sd"] <= spread["expected_sd"] * 1.15 + 1e-9).all(), "the formula gives the spread"
assert (spread["sd"] >= spread["expected_sd"] * 0.85 - 1e-9).all(), "the formula gives the spread"
assert spread["sd"].iloc[-1] <= spread["sd"].iloc[0] + 1e-9, "more labels, less spread"
assert abs(measured.rate - spread["wanted"].iloc[-1]) < 4 * spread["expected_sd"].iloc[-1] + 0.04

# %% [markdown]
# ## 4. The labels of a language model
#
# **Question.** Nobody makes up noise in practice; it comes from whoever labels. What does it look like when
# a language model does?
#
# **Experiment.** SmolLM2 (135 million parameters) is shown one true example of each class and labels the
# first texts of the training set of notebook 00. Beside its matrix stands symmetric noise of exactly the
# same rate.

# %%
SHOWN = 300  # the size of notebook 00's set: the same examples are drawn from it, the same answers stored


def labelled_by_llm():
    pool = nk.load_dataset(dataset, train_size=max(SHOWN, llm_labelled), seed=seed, test_size=test_size)
    # The examples come from "train", all of the pool; only the first texts of it are labelled.
    first = pool["train"].select(range(llm_labelled))
    asked = type(pool)(train=pool["train"], validation=first)
    answered = nk.label_with_llm(
        asked, nk.course.labeller(annotator, pool), shots=1, seed=nk.course.DEMONSTRATION_SEED,
        splits=("validation",),
    )  # fmt: skip
    report = nk.noise_report(answered, "validation")
    by_class = report.table.assign(kept=1 - report.table["rate"]).drop(columns="rate")
    return {"counts": report.counts, "classes": by_class}


llm_run = setup.run("label_noise_llm", labelled_by_llm, llm_labelled=llm_labelled)
llm_run

# %%
counts = llm_run["counts"]
n = counts.sum()
llm_rate = 1 - np.trace(counts) / n
with np.errstate(invalid="ignore"):
    llm_matrix = counts / counts.sum(1, keepdims=True)
same_rate = nk.transition_matrix("symmetric", C, llm_rate)

fig, axes = nk.plots.figure(1, 2, width=11.5, height=5.2)
alt = nk.plots.draw_transition_matrix(
    llm_matrix, names, axes[0], title=f"{annotator}: {100 * llm_rate:.0f} % wrong of {n}"
)
alt += " " + nk.plots.draw_transition_matrix(
    same_rate, names, axes[1], title=f"symmetric, rate {llm_rate:.2f}"
)
nk.plots.show(fig, alt)

# %%
llm_run["classes"].round(2)

# %% [markdown]
# **What we saw.** The two have the same rate and nothing else in common. The language model keeps nearly all
# labels of some classes and loses most of another one's; and what it loses goes to few other classes, not to
# all alike. (Rows with a handful of texts say little: look at the column n.)
#
# **Why.** A language model does not slip. It has habits: it likes some words more than others, it follows
# its examples, and it has its own idea of where *acq* ends and *trade* begins. The same text would be
# mislabelled in the same way again. Notebook 06 is about such noise.

# %% tags=["check"]
assert counts.shape == (C, C)
assert 0 <= llm_rate <= 1
if llm_run.as_given:
    enough = counts.sum(1) >= 3
    kept = np.diag(llm_matrix)[enough]
    assert 0.2 < llm_rate < 0.65, "a large share should be wrong"
    assert kept.max() - kept.min() > 0.3, "some classes should lose far more labels than others"
    largest = np.bincount(np.repeat(np.arange(C), counts.sum(1))).argmax()
    lost = np.delete(counts[largest], largest)
    share = np.sort(lost)[-2:].sum() / max(lost.sum(), 1)
    assert share > 0.5, "two classes should get most of what the largest loses"

# %% [markdown]
# ## 5. What noise costs
#
# **Question.** A classifier learns from such labels. What is it worth afterwards, on a clean test set?
#
# **Experiment.** A small network on top of the encoder learns from the noisy labels with cross-entropy, to
# the last epoch; the encoder stays frozen in `quick`, its top layers learn too in `class`. All kinds, four
# rates, several draws of the noise each.

# %%
RATES = (0.0, 0.2, 0.4, 0.6)


def costs_of_noise():
    guide = nk.noise.instance_probabilities(setup.clean, seed=seed)

    def cost(kind, rate, draw):
        own = {"probabilities": guide} if kind == "instance" else {}
        ds = nk.add_noise(setup.clean, kind=kind, rate=rate, seed=draw, **own)
        model = nk.Baseline(loss="ce", encoder=encoder, profile=profile, seed=draw).fit(ds)
        score = model.evaluate(ds["test"])
        # No noise is no noise, whatever its kind: one run serves all.
        named = nk.noise.KINDS if rate == 0 else (kind,)
        return [(name, rate, draw, score["accuracy"], score["macro_f1"]) for name in named]

    noisy = [(kind, rate) for kind in nk.noise.KINDS for rate in RATES if rate]
    runs = [(*one, seed + d) for d in range(draws) for one in [(nk.noise.KINDS[0], 0.0), *noisy]]
    rows = [row for part in nk.resuming.each(runs, cost) for row in part]
    return {"costs": pd.DataFrame(rows, columns=["kind", "rate", "draw", "accuracy", "macro_f1"])}


run = setup.run("label_noise", costs_of_noise, draws=draws)
run

# %%
costs = run["costs"]
fig, ax = nk.plots.figure(width=8, height=4)
alt = nk.plots.draw_noise_cost(costs, ax)
nk.plots.show(fig, alt)

cost_table = costs.groupby(["kind", "rate"], sort=False)[["accuracy", "macro_f1"]].mean()
costs.pivot_table(["accuracy", "macro_f1"], "rate", "kind", sort=False).round(2)

# %% [markdown]
# **What we saw.** One label in five wrong costs some points of accuracy; four in ten cost far more. At
# the same rate asymmetric noise does the most harm, and at 0.6 it turns the classifier round: most labels
# of each class name one other class, and that is what is learnt. Macro F1 falls sooner than accuracy:
# the small classes go first, as section 2 made us expect. The bars are the range over the draws.
#
# **Why.** While the right label is the commonest one for every kind of text, there is something to learn
# from. Symmetric noise over C classes leaves it so up to a rate of (C − 1)/C; asymmetric noise only up to
# one half. Below that point the harm comes from training on: wrong labels are learnt by heart. Notebook
# 02 watches that happen.

# %% tags=["check"]
assert costs[["accuracy", "macro_f1"]].ge(0).all(axis=None)
assert costs[["accuracy", "macro_f1"]].le(1).all(axis=None)
assert len(cost_table) == len(nk.noise.KINDS) * len(RATES)
if run.as_given:
    by_kind = costs.pivot_table("accuracy", "kind", "rate")
    assert (by_kind[0.2] < by_kind[0.0]).all(), "noise should cost accuracy"
    assert (by_kind[0.4] < by_kind[0.2] - 0.03).all(), "twice the noise should cost more"
    assert (by_kind[0.6] < by_kind[0.4]).all()
    for rate in (0.4, 0.6):
        assert by_kind.loc["asymmetric", rate] < by_kind.loc["symmetric", rate], "asymmetric is worse"
    assert by_kind.loc["asymmetric", 0.6] < 0.5, "beyond one half the classifier should be turned round"
    f1 = costs.pivot_table("macro_f1", "kind", "rate")
    assert (f1[0.0] - f1[0.2] > by_kind[0.0] - by_kind[0.2]).all(), "macro F1 should fall sooner"

# %%
setup.write(
    costs=cost_table.reset_index(), achieved=measured.rate, llm_rate=float(llm_rate),
    note="cross-entropy, last epoch",
)  # fmt: skip

# %% [markdown]
# ## Takeaways
#
# - A transition matrix says how each class is labelled; its rows sum to 1.
# - What a label says about the truth follows from the matrix *and* from how common the classes are. Labels
#   of small classes are the least to be trusted.
# - The achieved rate is not the wanted one: report it, and repeat with other draws.
# - A language model's noise is uneven: few classes, few wrong answers, the same mistake again.
# - The kind of noise decides what can be learnt: the right label has to stay the commonest.
#
# ## Exercises
#
# Each is checked at once. `nk.check.label_noise.q1.hint()` gives a hint to the first, and a further one
# when it is called again.
#
# **1.** At which rate does symmetric noise over 8 classes leave labels that say nothing at all?

# %% tags=["solution"]
# All rows are alike when what stays, 1 − rate, equals what each other class gets, rate / 7.
answer_1 = 7 / 8
blind = nk.transition_matrix("symmetric", 8, answer_1)
assert np.allclose(blind, blind[0])
# stub:
# answer_1 = None  # a number
nk.check.label_noise.q1(answer_1)

# %% [markdown]
# **2.** Two classes: nine texts in ten are *common*, one is *rare*. Symmetric noise of rate 0.2. What share
# of the texts labelled *rare* is rare?

# %% tags=["solution"]
two = nk.transition_matrix("symmetric", 2, 0.2)
answer_2 = nk.noise.true_given_noisy(two, [0.9, 0.1])[1, 1]
# stub:
# answer_2 = None  # a number
nk.check.label_noise.q2(answer_2)

# %% [markdown]
# **3.** Noise of rate 0.4. How many labels does it take until the achieved rate has a standard deviation of
# 0.01?

# %% tags=["solution"]
answer_3 = 0.4 * 0.6 / 0.01**2
# stub:
# answer_3 = None  # a whole number
nk.check.label_noise.q3(answer_3)

# %% [markdown]
# **4.** Noise of rate 0.6 over 8 classes. Is the commonest label of a class the `"true"` one or an `"other"`
# one: with symmetric noise, and with asymmetric noise?

# %% tags=["solution"]
rows = (nk.transition_matrix(kind, 8, 0.6)[0] for kind in ("symmetric", "asymmetric"))
answer_4 = tuple("true" if row.argmax() == 0 else "other" for row in rows)
# stub:
# answer_4 = (None, None)  # two words: symmetric, asymmetric
nk.check.label_noise.q4(answer_4)

# %% [markdown]
# **5.** Write it: the transition matrix of symmetric noise over C classes, without `nk.transition_matrix`.


# %% tags=["solution"]
def symmetric(classes, rate):
    matrix = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


# stub:
# def symmetric(classes, rate):
#     """Return T, shape (classes, classes): rows are true classes."""
#     return None  # your code


nk.check.label_noise.q5(symmetric)

# %% tags=["score"]
nk.check.label_noise.score()

# %% [markdown]
# ## Instructor's note
#
# **Timing**: 45 minutes; 10 for the explorer, 15 for section 2, 10 for sections 3 and 4, 10 for section 5.
#
# **Misconceptions**: "40 % noise means that each label is right with 60 %" (section 2: it depends on the
# class); "the matrix is symmetric when the noise is" (its name comes from the wrong labels being alike);
# "columns sum to 1" (rows do); "random noise averages out" (only while the right label stays the
# commonest, and only if training stops in time).
#
# **Ask the class** before section 5: would you rather have 40 % symmetric or 30 % asymmetric noise? Then
# look at the lines.
#
# ## Next
#
# - **02_memorisation**: when, in training, are wrong labels learnt?
# - Change the parameters: `dataset = "20ng"` has twenty classes of one size. What changes in section 2?
# - Read `nlkit/noise/making.py`, and `nlkit/noise/instance.py` for the noise that follows the text.

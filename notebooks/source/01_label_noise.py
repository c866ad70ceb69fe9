# %% [markdown]
# # Label noise: what a wrong label looks like
#
# A wrong label says something: two sets of labels with the same share of wrong ones can be worth very different things.
#
# **Afterwards you can**
#
# - draw a transition matrix, and say what each kind of noise does to it;
# - say how far a label can be trusted, which depends on the size of its class;
# - tell the noise that you got from the noise that you asked for;
# - see how a language model's mistakes differ from noise that is made up, and what each costs a classifier.
#
# **You need** notebook 00, and what a conditional probability is.

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
from nlkit.course.saying import amount, extremes, kept_shares, ranked, say, when

setup = nk.course.setup(
    profile=profile, seed=seed, dataset=dataset, train_size=train_size, test_size=test_size, noise=noise,
    noise_rate=noise_rate, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
    recording="label_noise",
)  # fmt: skip
names, label = setup.names, setup.label
C = len(names)
# Labels of a language model are looked at in section 4; the sections before need noise of a known rate.
kind = noise if noise in nk.noise.KINDS else "symmetric"

setup

# %% [markdown]
# **Try it.** Move the kind and the rate of the noise: rows are the true classes, columns what the labels say.
# Read some of the texts below: which kind of noise would you find hardest to notice?

# %%
# Reuters' telegrams are hard to judge by reading: posts of eight newsgroups stand in for them in this explorer.
unread = dataset in ("r8", "r52")
shown = nk.load_dataset("newsgroups", train_size=600, seed=seed, test_size=100) if unread else setup.clean
nk.widgets.noise_explorer(shown, kind=kind, rate=noise_rate, seed=seed)

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
# The **transition matrix** $T$ holds them all: $T_{ij} = P(\tilde y = j \mid y = i)$, `T[i, j]` in code. Rows are true
# classes. A text of class i gets *some* label, so each row sums to 1, and the diagonal is what is kept.
#
# Move kind and rate in the explorer above. Then choose a true class $i$ and a noisy label $j$: the cell is
# framed, and the texts that went this way stand below.

# %% tags=["finding"]
views = {k: nk.widgets.compute_noise(setup.clean, k, noise_rate, seed) for k in nk.noise.KINDS}
wrong = {k: np.nan_to_num(v.matrix - np.diag(np.diag(v.matrix))) for k, v in views.items()}
targets = {k: (w > 0).sum(1).max() for k, w in wrong.items()}  # other labels that one class gets, at most
large = np.argsort(-np.bincount(label, minlength=C), kind="stable")[:2]
to_large = {f"{k} noise": w[:, large].sum() / max(w.sum(), 1e-9) for k, w in wrong.items()}
told = say(
    f"**What we saw**, at a rate of {noise_rate:g}. Symmetric noise spreads a class over up to",
    f"{targets['symmetric']} other labels, asymmetric noise over {targets['asymmetric']}.",
    f"Instance-dependent noise follows the text. Into the two largest classes, {names[large[0]]} and",
    f"{names[large[1]]}, goes this part of each wrong row, on average: {ranked(to_large)}.",
    when(
        to_large["instance noise"] > to_large["symmetric noise"] + 0.02,
        "A doubtful text resembles a class that the classifier has seen often.",
    ),
)
told

# %% tags=["check"]
told.check(to_large)
for view in views.values():
    present = ~np.isnan(view.matrix).any(1)
    assert np.allclose(view.matrix[present].sum(1), 1), "each row sums to 1"
    assert abs(view.achieved - noise_rate) < 4 * np.sqrt(0.25 / len(label)) + 0.02, "about the rate asked for"
assert targets["asymmetric"] <= 1, "asymmetric noise knows one wrong label a class"

# %% [markdown]
# ## 2. What a label says about the truth
#
# **Question.** T tells how a true class is labelled. Who finds a label wants the opposite: the text is
# labelled *grain*; is it about grain?
#
# **Experiment.** Count. Bayes' rule says what to expect:
#
# $$P(y = i \mid \tilde y = j) = \frac{P(y = i)\, T_{ij}}{\sum_k P(y = k)\, T_{kj}}$$
#
# where $P(y = i)$ is how common class i is, `prior[i]` below, and $T_{ij}$ is `T[i, j]`. The bars are counted on our training texts, the diamonds are what
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

# %% tags=["finding"]
seen = truth[(truth["true texts"] > 0) & (truth["labelled"] > 0)].set_index("class_name")
by_size = seen.sort_values("true texts", ascending=False)
biggest, smallest = by_size.index[0], by_size.index[-1]
told = say(
    f"**What we saw.** {100 * measured.rate:.0f} % of all labels are wrong. Of the texts labelled {biggest}, the",
    f"largest class ({by_size['true texts'].iloc[0]} texts), {amount(seen['right'][biggest])} are right; of those",
    f"labelled {smallest}, the smallest ({by_size['true texts'].iloc[-1]}), {amount(seen['right'][smallest])}.",
    f"By class, the share of right labels is: {extremes(seen['right'])}.",
    when(
        seen["right"][biggest] > seen["right"][smallest] + 0.1
        and by_size["true texts"].iloc[0] > 3 * by_size["true texts"].iloc[-1],
        f"**Why.** {biggest} has {amount(by_size['true texts'].iloc[0] / by_size['true texts'].sum(), digits=0)} "
        "of all texts. A small part of a large class is still a crowd beside a small class.",
    ),
    "The rate alone does not say how far a label can be trusted. Remember this when macro F1 and accuracy",
    "disagree.",
)
told

# %% tags=["check"]
told.check(seen["right"], alt)
assert seen["right"].between(0, 1).all()
assert seen["expected"].between(0, 1).all()
crowded = seen[seen["labelled"] >= 30]
room = 4 * np.sqrt(0.25 / crowded["labelled"]) + 0.05
assert ((crowded["right"] - crowded["expected"]).abs() < room).all(), "Bayes' rule is about right"
if setup.changed == {} and kind == "symmetric":
    assert seen["expected"][biggest] > 0.85, "a label of the largest class can be trusted"
    assert seen["expected"][by_size.index[-2:]].max() < 0.35, "labels of small classes are mostly wrong"

# %% [markdown]
# ## 3. Wanted and achieved
#
# **Question.** We ask for a rate and flip each label with this probability. What do we get?
#
# **Experiment.** Add the same noise to the same labels a thousand times, for the first n of them. If
# every label flips by itself with probability r, the number of wrong ones is **binomial**: the achieved
# rate is $r$ on average, with a standard deviation of $\sqrt{r (1 - r) / n}$.

# %%
sizes = [n for n in (10, 30, 100, 300, 1000, 3000) if n < len(label)] + [len(label)]
usual = np.where(np.isnan(T), np.eye(C), T)  # a class without texts flips nothing
spread = nk.noise.rate_spread(label, usual, sizes, seed=seed)
fig, ax = nk.plots.figure(width=8, height=3.4)
alt = nk.plots.draw_rate_spread(spread, ax)
nk.plots.show(fig, alt)
spread.round(3)

# %% tags=["finding"]
few, all_of = spread.iloc[0], spread.iloc[-1]
told = say(
    f"**What we saw.** With {few['n']:.0f} labels the achieved rate strays from {few['wanted']:.2f} by a standard",
    f"deviation of {100 * few['sd']:.1f} points, with all {all_of['n']:.0f} by {100 * all_of['sd']:.1f}. Whoever compares",
    "methods on small sets should report the achieved rate, and repeat with other draws: part of the difference",
    "between two methods may be one draw of the noise.",
)
told

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

# %% tags=["finding"]
kept, least = kept_shares(counts, names, least=3)
loser = np.argmax((counts - np.diag(np.diag(counts))).sum(1))  # the class that loses most labels
lost = np.delete(counts[loser], loser)
share = np.sort(lost)[-2:].sum() / max(lost.sum(), 1)
llm_told = say(
    f"**What we saw.** {annotator} and the noise beside it have the same rate, {100 * llm_rate:.0f} %. Of the classes",
    f"with {least} texts or more, by the share of labels that {annotator} keeps, {extremes(kept)};",
    f"symmetric noise keeps {100 - 100 * llm_rate:.0f} % of each.",
    when(
        lost.sum() > 0,
        f"Of the {lost.sum()} labels that {names[loser]} loses, {100 * share:.0f} % go to two other classes; "
        f"of symmetric noise it would be {100 * min(1, 2 / max(C - 1, 1)):.0f} %.",
    ),
    "(Rows with a handful of texts say little: look at the column n.)",
)
llm_told

# %% [markdown]
# **Why.** A language model does not slip. It has habits: it likes some words more than others, it follows
# its examples, and it has its own idea of where one topic ends and another begins. The same text would be
# mislabelled in the same way again. Notebook 06 is about such noise.

# %% tags=["check"]
llm_told.check(kept, alt)
assert counts.shape == (C, C)
assert 0 <= llm_rate <= 1
if llm_run.as_given:
    assert 0.2 < llm_rate < 0.75, "a large share should be wrong"
    assert kept.max() - kept.min() > 0.3, "some classes should lose far more labels than others"
    assert share > 0.5, "two classes should get most of what one loses"

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

# %% tags=["finding"]
by_kind = costs.pivot_table("accuracy", "kind", "rate")
f1 = costs.pivot_table("macro_f1", "kind", "rate")
cost = {rate: (by_kind[0.0] - by_kind[rate]).rename(index="{} noise".format) for rate in RATES[1:]}
clean, turned = by_kind[0.0].iloc[0], by_kind.loc["asymmetric", 0.6]
uneven = bool(by_size["true texts"].iloc[0] > 3 * by_size["true texts"].iloc[-1])
told = say(
    f"**What we saw.** Without noise the accuracy is {amount(clean)}. What noise costs of it:",
    *(f"at a rate of {rate:g}, {ranked(cost[rate])};" for rate in cost),
    f"the largest loss at 0.4 is that of {cost[0.4].idxmax()}.",
    when(
        turned < min(0.5, by_kind.loc["symmetric", 0.6] - 0.1),
        f"At 0.6 asymmetric noise leaves {amount(turned)}: most labels of each class name one other "
        "class, and that is what is learnt.",
    ),
    when(
        (f1[0.0] - f1[0.2] > by_kind[0.0] - by_kind[0.2]).all(),
        f"Macro F1 falls sooner than accuracy{': the small classes go first' * uneven}.",
        "Macro F1 does not fall sooner than accuracy for every kind here.",
    ),
    "The bars are the range over the draws.",
)
told

# %% [markdown]
# **Why.** While the right label is the commonest one for every kind of text, there is something to learn
# from. Symmetric noise over $C$ classes leaves it so up to a rate of $(C - 1)/C$; asymmetric noise only up to
# one half. Below that point the harm comes from training on: wrong labels are learnt by heart. Notebook
# 02 watches that happen.

# %% tags=["check"]
for rate, lost in cost.items():
    assert f"at a rate of {rate:g}, {lost.idxmax()} ({amount(lost.max())})" in told, (
        "the largest is named first"
    )
assert costs[["accuracy", "macro_f1"]].ge(0).all(axis=None)
assert costs[["accuracy", "macro_f1"]].le(1).all(axis=None)
assert len(cost_table) == len(nk.noise.KINDS) * len(RATES)
if run.as_given:
    assert (by_kind[0.2] < by_kind[0.0]).all(), "noise should cost accuracy"
    assert (by_kind[0.6] < by_kind[0.4]).all()
    assert by_kind.loc["asymmetric", 0.6] < by_kind.loc["symmetric", 0.6], "asymmetric is worse"
    assert turned < 0.5, "beyond one half the classifier should be turned round"

# %% tags=["result"]
result = costs.assign(labels=costs["kind"] + costs["rate"].map(" {:.1f}".format))
result = result.groupby("labels", sort=False)[["accuracy", "macro_f1"]].mean().reset_index()
result = result.rename(columns={"accuracy": "test accuracy", "macro_f1": "macro F1"})
setup.write(
    result=result, costs=cost_table.reset_index(), achieved=measured.rate, llm_rate=float(llm_rate),
    note="cross-entropy, last epoch",
)  # fmt: skip
result.round(3)

# %% [markdown]
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
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
# Where it speaks of results, they are those of the recorded runs.
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

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
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
#
# </details>

# %% [markdown]
# # Memorisation: wrong labels are learnt late, and by heart
#
# A classifier mostly learns right labels first and wrong ones later, by heart; who looks early can tell many apart.
#
# **Afterwards you can**
#
# - say in which order right and wrong labels are learnt, and read it off a figure;
# - tell which of two models memorises faster;
# - use the loss to find wrong labels, and say for how long that works;
# - stop a training by noisy labels, and say what that cannot do.
#
# **You need** notebooks 00 and 01.

# %% tags=["setup"]
# {{setup}}

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 600
test_size = 400
noise = "symmetric"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
epochs = 12
recorded = True
results = ""

# %% [markdown]
# `epochs` is how long both models are trained: longer than anybody should, so that the end can be seen. No
# language model takes part here (except with `noise = "llm"`).

# %%
import numpy as np
import pandas as pd

import nlkit as nk
from nlkit.course.saying import amount, compare, gap, path, ranked, say, when

setup = nk.course.setup(
    profile=profile, seed=seed, dataset=dataset, train_size=train_size, test_size=test_size, noise=noise,
    noise_rate=noise_rate, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
    recording="dynamics",
)  # fmt: skip
texts, names = setup.texts, setup.names

setup

# %% [markdown]
# **Try it.** Two models learn labels of which many are wrong. Move the epoch, or press play: what probability does
# a model give the label it is shown? Blue are right labels, red and hatched wrong ones.

# %%
run = setup.train_both(epochs)
nk.widgets.explore(
    run,
    lambda run: nk.widgets.dynamics_explorer(
        run["strong"], run["weak"], run["noisy_label"], run["label"], epoch=min(4, epochs)
    ),
)

# %% [markdown]
# ## 1. The experiment
#
# **Question.** A network that is large enough can learn any labels, random ones too. In which order?
#
# **Experiment.** Two models learn the same noisy labels with plain cross-entropy.
#
# - The **strong** one is MiniLM, pre-trained on a great many texts, with a small network on top. In profile
#   `quick` MiniLM itself stays as it is.
# - The **weak** one is a small BiLSTM that knows no word before it starts.
#
# After each epoch both predict all training texts. These **training dynamics** are all that the rest of the
# notebook looks at: an array of E epochs × N texts × C classes a model. (It is the run of notebook 03, too;
# what cleanlab says, `issues`, is for there.)

# %%
run

# %% [markdown]
# ## 2. The dynamics player
#
# Back to the explorer at the top: the strong model is on the left, the weak one on the right. Choose the **loss**, $-\log p(\tilde y \mid x)$, for the view that many methods take.

# %% tags=["finding"]
strong, weak = run["strong"], run["weak"]
noisy_label, label = run["noisy_label"], run["label"]
moments = [
    nk.widgets.compute_moment(strong, weak, noisy_label, label, e).table.set_index("model")
    for e in range(1, epochs + 1)
]
auc = pd.DataFrame([moment["auc"] for moment in moments], index=range(1, epochs + 1))  # of the loss
trust = moments[-1]["mislabelled"]  # what wrong labels get at the end, on average
best = {model: int(auc[model].fillna(0).idxmax()) for model in auc}
told = say(
    "**What we saw.** How far the two colours part is measured by the AUC (section 4).",
    *(
        f"The {model} model's is largest after epoch {best[model]}: {auc[model].max():.2f}; at the end it is"
        f" {auc[model].iloc[-1]:.2f}."
        for model in auc
    ),
    f"At the end a wrong label gets this probability, on average: {ranked(trust.add_suffix(' model'))}.",
    when(trust.min() > 0.1, "So the red bars move to the right as well."),
)
told

# %% tags=["check"]
told.check(trust.add_suffix(" model"))
assert strong.shape == weak.shape == (epochs, len(texts), len(names))
for model in (strong, weak):
    assert np.allclose(model.sum(-1), 1, atol=0.5 * len(names) / 255 + 1e-3), "rows sum to 1"
if run.as_given:
    assert auc["strong"].max() > 0.9, "the two colours should part"
    assert trust["weak"] > 0.7, "the weak model should learn most wrong labels"

# %% [markdown]
# ## 3. Who memorises faster?
#
# **Question.** A label is **fitted** if the model predicts it. How many right and wrong labels are fitted
# after each epoch?

# %%
shares = {
    name: nk.plots.fitted_shares(model, noisy_label, label)
    for name, model in (("strong", strong), ("weak", weak))
}
fig, axes = nk.plots.figure(1, 2, width=11, height=3.9)
alt = ""
for ax, (name, table) in zip(axes, shares.items(), strict=True):
    alt += f"{name.capitalize()} model. {nk.plots.draw_fitted(table, ax, legend=False)} "
    ax.set_title(f"{name} model")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
nk.plots.show(fig, alt)

# %% tags=["finding"]
early = min(3, epochs)
first = {f"{name} model": table.set_index("epoch").loc[early] for name, table in shares.items()}
learnt = {f"{name} model": table["mislabelled"].iloc[-1] for name, table in shares.items()}
fitted_early = {name: row["clean"] for name, row in first.items()}
wrong_early = {name: row["mislabelled"] for name, row in first.items()}
early_told = say(
    f"**What we saw.** After epoch {early} the right labels are fitted to this part: {ranked(fitted_early)};",
    f"the wrong ones to {' and '.join(amount(value) for value in wrong_early.values())} (strong, weak).",
    f"For {' and '.join(amount(row['corrected']) for row in first.values())} of the wrongly labelled texts the true",
    "class is predicted all the same.",
)
late_told = say(
    f"At the end, of the wrong labels learnt by heart: the {compare(learnt, 'weak model', 'strong model')}.",
    when(
        learnt["weak model"] > learnt["strong model"] + 0.005,
        "The weak model is the faster one.",
        "The weak model is not the faster one here.",
    ),
)
say(early_told, late_told)

# %% [markdown]
# **Why right labels come first.** They agree with each other: what is learnt from one text about a topic
# helps with the next. A wrong label follows no rule and helps with no other text; it has to be learnt alone,
# and gains little in each epoch while the others gain much. (Asymmetric noise *has* a rule: then wrong labels
# come early, too.)
#
# **Why a weak model can be faster at learning by heart.** It starts from nothing and adapts all of its weights,
# word by word, to these few texts. The strong one sees each text through fixed features made from many
# others, and only a small network on top can bend.

# %% tags=["check"]
wrong = (noisy_label != label) & (noisy_label >= 0)
early_told.check(fitted_early)
late_told.check(learnt)
for table in shares.values():
    assert table["clean"].between(0, 1).all()
    if wrong.any():
        assert (table["mislabelled"] + table["corrected"] <= 1 + 1e-6).all(), "one text, one prediction"
if run.as_given:
    for row in first.values():
        assert row["clean"] > 0.75, "most right labels are fitted early"
        assert row["mislabelled"] < 0.25, "and few wrong ones"
        assert row["corrected"] > 0.5, "many are predicted as they truly are"
    assert learnt["weak model"] > learnt["strong model"] + 0.1, "the weak model should memorise faster"
    assert learnt["strong model"] > 0.35

# %% [markdown]
# ## 4. The loss as a detector
#
# **Question.** If wrong labels have large losses, how well can they be found by the loss? The **area under
# the ROC curve** (AUC) is the probability that a wrong label, drawn at random, has a larger loss than a right
# one. 1 is perfect, 0.5 is chance.

# %%
separation = {
    "strong model": nk.cleaning.loss_separation(strong, noisy_label, label),
    "weak model": nk.cleaning.loss_separation(weak, noisy_label, label),
}
fig, ax = nk.plots.figure(width=8, height=3.6)
alt = nk.plots.draw_separation(separation, ax)
nk.plots.show(fig, alt)

# %% tags=["finding"]
peak = {name: int(np.nanargmax(np.nan_to_num(values))) for name, values in separation.items()}
closing = {name: values[peak[name]] - values[-1] for name, values in separation.items()}
told = say(
    "**What we saw.**",
    *(
        f"With the {name} the loss finds wrong labels best after epoch {peak[name] + 1} (AUC"
        f" {values[peak[name]]:.2f}), and with {values[-1]:.2f} at the end."
        for name, values in separation.items()
    ),
    when(
        min(closing.values()) > 0.02,
        "What is learnt by heart has a small loss: there is a window, and it closes.",
        when(
            max(closing.values()) > 0.02,
            "The window closes for one of the two models only.",
            "In these epochs the window does not close.",
        ),
    ),
    "No true label was used to rank them. Both methods of this course look early: NoiseAL splits after a short",
    "warm-up (notebook 03), SiDyP looks at the early epochs (notebook 07).",
)
told

# %% tags=["check"]
for name, values in separation.items():
    assert np.isnan(values).all() or ((values >= 0) & (values <= 1)).all()
    if not np.isnan(values).any():
        shown = f"{name}: highest {values.max():.2f} at epoch {peak[name] + 1}, {values[-1]:.2f} at the end"
        assert shown in alt, "the figure and the sentence agree"
if run.as_given:
    for name, values in separation.items():
        assert peak[name] < 0.6 * epochs, "the best epoch should be an early one"
        assert values.max() > 0.9
        assert closing[name] > 0.08, "the window should close"

# %% [markdown]
# ## 5. Stopping early
#
# **Question.** Can we stop in that window? The test set must not choose, and there are no clean validation
# labels. But noisy validation labels were not trained on: nobody has learnt *them* by heart.

# %%
history = run["history"]
fig, axes = nk.plots.figure(1, 2, width=11, height=4.6)
alt, stopped = "", []
for ax, name in zip(axes, ("strong", "weak"), strict=True):
    own = history[history["model"] == name].set_index("epoch")
    chosen = int(own["noisy_validation"].idxmax())
    curves = {"test, true labels": own["test"], "validation, noisy labels": own["noisy_validation"]}
    alt += f"{name.capitalize()} model. {nk.plots.draw_accuracy(curves, ax, chosen=chosen)} "
    ax.set(title=f"{name} model", ylim=(0, 100))
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    stopped.append(
        {
            "model": name, "epoch chosen": chosen, "test there": own["test"][chosen],
            "test at its best": own["test"].max(), "test at the end": own["test"].iloc[-1],
        }
    )  # fmt: skip
nk.plots.show(fig, alt)
known = np.array(setup.ds["validation"]["label"]) >= 0
validation_right = (
    np.array(setup.ds["validation"]["noisy_label"]) == np.array(setup.ds["validation"]["label"])
)[known].mean()
stopped = pd.DataFrame(stopped).set_index("model")
stopped.round(3)

# %% tags=["finding"]
n_validation = len(setup.ds["validation"])
strong_end, weak_end = (history[history["model"] == name]["test"].to_numpy() for name in ("strong", "weak"))
told = say(
    f"**What we saw.** The strong model's test accuracy {path(strong_end)}. Stopped where the noisy validation labels",
    f"say, in epoch {stopped.loc['strong', 'epoch chosen']}, it has {amount(stopped.loc['strong', 'test there'])},",
    f"{gap(stopped.loc['strong', 'test there'], strong_end[-1])} the last epoch. The weak model's {path(weak_end)};",
    f"stopped in epoch {stopped.loc['weak', 'epoch chosen']}, it has {amount(stopped.loc['weak', 'test there'])}.",
    f"The noisy validation accuracy never exceeds {amount(history['noisy_validation'].max())}:",
    f"of those labels {amount(validation_right)} are right, so even a perfect classifier would only reach that.",
)
told

# %% tags=["finding"]
low = np.sqrt(0.25 / n_validation)
say(
    f"**What it cannot do.** There are {n_validation} validation texts, so its curve trembles: the standard deviation of",
    f"an accuracy is up to {100 * low:.0f} points here, and the choice is partly luck. And stopping saves the",
    "model from wrong labels only by giving up on hard right ones, which come late as well. Methods that tell",
    "the two apart can go on training.",
)

# %% tags=["check"]
for name, curve in (("strong", strong_end), ("weak", weak_end)):
    assert np.isclose(curve.max(), stopped.loc[name, "test at its best"])
    assert amount(curve[-1]) in told, "the end is told as it is in the table"
assert history["test"].between(0, 1).all()
assert len(history) == 2 * epochs
if run.as_given:
    row = stopped.loc["strong"]
    assert row["test at the end"] < row["test at its best"] - 0.05, "training on should cost accuracy"
    assert row["test there"] >= row["test at the end"], "the chosen epoch should not be worse than the last"
    assert history["noisy_validation"].max() < 0.8, "noisy labels bound the curve"
    assert stopped.loc["strong", "test at its best"] > stopped.loc["weak", "test at its best"]

# %% [markdown]
# ## 6. Single texts
#
# Averages hide what single texts do. Below are wrongly and rightly labelled ones, from the least to the most
# trusted by the strong model at the end. Solid lines are the observed label, dotted ones the true label.
# Which wrong label was learnt by both, which by the weak model only? Is there a right label that looks like a
# wrong one, and does its text tell why?

# %%
observed = noisy_label >= 0
trust = strong[-1, np.arange(len(texts)), noisy_label]
picked = []
for group in (np.flatnonzero(wrong), np.flatnonzero(observed & ~wrong)):
    by_trust = group[np.argsort(trust[group], kind="stable")]
    picked += [int(by_trust[round(place * (len(by_trust) - 1))]) for place in (0, 0.5, 1) if len(by_trust)]

nk.widgets.explore(
    run,
    lambda run: nk.widgets.sample_explorer(
        run["strong"], run["weak"], run["noisy_label"], run["label"], texts, names, samples=picked
    ),
)

# %% tags=["finding"]
least = observed & ~wrong & (trust < np.median(trust[wrong])) if wrong.any() else np.zeros(len(trust), bool)
told = say(
    f"**What we saw.** At the end {least.sum()} right labels ({amount(least.sum() / max(1, (observed & ~wrong).sum()))} of"
    " them) are trusted less than half of the wrong ones are.",
    "A hard text with a right label (unusual words, two topics in one) can look just like a wrong label. No single",
    "number after one epoch will tell them apart; that two models, or many epochs, agree on it is better evidence.",
    "This is where notebook 03 goes on.",
)
told

# %% tags=["check"]
assert len(picked) == 3 * (int(wrong.any()) + int((observed & ~wrong).any()))
if run.as_given:
    assert least.any(), "some right labels should be trusted less than half of the wrong ones"

# %% tags=["result"]
result = stopped.reset_index().assign(
    wrong_labels_fitted=list(learnt.values()), auc=[np.nanmax(values) for values in separation.values()]
)
result = result.rename(
    columns={"wrong_labels_fitted": "wrong labels fitted", "auc": "AUC of the loss at its best"}
)
result = result[["model", *[column for column in result.columns if column.startswith("test")],
                 "wrong labels fitted", "AUC of the loss at its best", "epoch chosen"]]  # fmt: skip
setup.write(result=result, note=f"cross-entropy, {epochs} epochs")
result.round(3)

# %% [markdown]
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
#
# - Right labels are learnt first, wrong ones later and by heart.
# - The weak model, which starts from nothing, memorises faster than a frozen encoder with a small head.
# - For some epochs the loss is nearly a perfect detector of wrong labels. The window closes.
# - Noisy validation labels can say when to stop, roughly. The test set must not.
# - Some right labels look wrong for long: one model and one epoch are not enough.
#
# ## Exercises
#
# Each is checked at once. `nk.check.memorisation.q1.hint()` gives a hint to the first, and a further one
# when it is called again.
#
# **1.** 40 % of the labels are wrong. A model has fitted 95 % of the right and 60 % of the wrong ones. What
# is its accuracy on the (noisy) training labels?

# %% tags=["solution"]
answer_1 = 0.6 * 0.95 + 0.4 * 0.6
# stub:
# answer_1 = None  # a number
nk.check.memorisation.q1(answer_1)

# %% [markdown]
# **2.** An accuracy of 0.6 was measured on 60 validation texts. What is its standard deviation?

# %% tags=["solution"]
answer_2 = np.sqrt(0.6 * 0.4 / 60)
# stub:
# answer_2 = None  # a number
nk.check.memorisation.q2(answer_2)

# %% [markdown]
# **3.** Two wrong labels have the losses 3.0 and 1.0, two right ones 0.5 and 2.0. What is the AUC of the loss
# as a finder of wrong labels?

# %% tags=["solution"]
losses_of_wrong, losses_of_right = [3.0, 1.0], [0.5, 2.0]
answer_3 = np.mean([a > b for a in losses_of_wrong for b in losses_of_right])
# stub:
# answer_3 = None  # a number
nk.check.memorisation.q3(answer_3)

# %% [markdown]
# **4.** You may look at one curve to decide when to stop: `"training"`, `"validation"` (noisy labels) or
# `"test"`. Which?

# %% tags=["solution"]
answer_4 = "validation"
# stub:
# answer_4 = None  # a word
nk.check.memorisation.q4(answer_4)

# %% [markdown]
# **5.** Write it: the AUC of exercise 3 for any losses and any labels. `wrong` says of each label whether
# it is; a pair with equal losses counts one half.


# %% tags=["solution"]
def auc(losses, wrong):
    above = losses[wrong][:, None] - losses[~wrong]  # one row a wrong label, one column a right one
    return ((above > 0) + 0.5 * (above == 0)).mean()


# stub:
# def auc(losses, wrong):
#     """Return the share of pairs in the right order, of arrays of N losses and N booleans."""
#     return None  # your code


nk.check.memorisation.q5(auc)

# %% tags=["score"]
nk.check.memorisation.score()

# %% [markdown]
# ## Instructor's note
#
# Where it speaks of results, they are those of the recorded runs.
#
# **Timing**: 50 minutes; 15 for the player, 15 for sections 3 and 4, 10 for early stopping, 10 for the rest.
#
# **Misconceptions**: "a strong model overfits more" (here the weak one memorises faster: how far a model can
# bend counts, not how good it is); "the training accuracy shows that it learns" (above 0.6 it can only learn
# by heart); "early stopping needs clean validation labels"; "a large loss means a wrong label" (or a hard
# text).
#
# **Ask the class** before section 3: which of the two models will have learnt more wrong labels after twelve
# epochs? Take a vote, then show the figure.
#
# ## Next
#
# - **03_splitting**: how to read the window without knowing one true label.
# - `noise = "asymmetric"`: now wrong labels agree with each other. Are they still learnt late?
# - `profile = "class"` lets two layers of MiniLM learn as well. Does the strong model memorise faster then?
# - Read `nlkit/methods/noiseal/dynamics.py` and `nlkit/models/classifiers.py`.

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
#
# {{measured}}
#
# {{places}}
#
# | in the papers | in the code |
# |---|---|
# | memorisation effect (Arpit et al. 2017, arXiv 1706.05394) | `nk.plots.fitted_shares` |
# | NoiseAL (arXiv 2504.02901): strong and weak model side by side | `nlkit.methods.noiseal.dynamics.train_both` |
# | their networks: encoder with a head, BiLSTM | `nlkit.models.classifiers` |
# | small loss as a sign of a right label (DivideMix, arXiv 2002.07394) | `nlkit.study.cleaning.label_losses` |
# | training dynamics, which SiDyP (arXiv 2505.19675) uses as trajectories | `nlkit.training` |
#
# </details>

# %% [markdown]
# # Simplex diffusion: a label out of noise
#
# A label becomes a point, noise moves it about, and a network that knows the text leads it back.
#
# **Afterwards you can**
#
# - say how noise is mixed into a label (the forward process), and how long a label survives;
# - say how a denoiser turns noise into a label, step by step (the reverse process);
# - find out which of its inputs a denoiser believes: the noised label, the observed label or the text;
# - weigh what more reverse steps buy against what they cost.
#
# **You need** [07_dynamic_prior](07_dynamic_prior.ipynb): it says where the labels come from that the
# denoiser learns. Some idea of a normal distribution helps.

# %% tags=["setup"]
# {{setup}}

# %% tags=["parameters"]
profile = "quick"
seed = 0
dataset = "r8"
train_size = 300
test_size = 1000
noise = "llm"
noise_rate = 0.4
encoder = "minilm"
annotator = "smollm2"
recorded = True
results = ""

# %% [markdown]
# The cell above holds all settings. With `noise = "llm"` the language model labels the training texts, and
# `noise_rate` is not used. `recorded = False` computes everything here and now.

# %%
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

import nlkit as nk
from nlkit.course.saying import amount, compare, extremes, say, when

pd.set_option("display.max_colwidth", 70)

setup = nk.course.setup(
    profile=profile, seed=seed, dataset=dataset, train_size=train_size, test_size=test_size, noise=noise,
    noise_rate=noise_rate, encoder=encoder, annotator=annotator, recorded=recorded, results=results,
    recording="simplex_diffusion",
)  # fmt: skip
setup

# %% [markdown]
# **Try it.** Three labels at the corners of a triangle, and noised copies of one of them. Move the time t: when do
# they lose their label?

# %%
share = np.bincount(setup.label[setup.label >= 0], minlength=len(setup.names))
three = [setup.names[c] for c in np.sort(np.argsort(-share, kind="stable")[:3])]
nk.widgets.diffusion_explorer(three, n_classes=len(setup.names), step=250)

# %% [markdown]
# ## 1. A label as a point
#
# Diffusion models make pictures out of noise. A picture is a list of real numbers, and noise can be added
# to it. A label is a word. To add noise to it, it has to become a list of numbers first.
#
# With $C$ classes, the label $c$ becomes the vector $s_0 = k\,(2 \cdot \mathrm{onehot}(c) - 1)$ (`to_simplex`): $+k$ at
# its own place and $-k$ at all others, with $k = 5$. Its **softmax** is a list of C probabilities: a point of the **simplex**, the
# space of all such lists. Three classes make a triangle, with one class at each corner.

# %%
corners = nk.diffusion.to_simplex(torch.arange(3), 3)
pd.DataFrame(
    {
        "label": three,
        "vector s₀": [", ".join(f"{v:+.0f}" for v in row) for row in corners.tolist()],
        "softmax of it": [", ".join(f"{p:.5f}" for p in row) for row in corners.softmax(-1).tolist()],
    }
)

# %% [markdown]
# ## 2. Forward: how a label drowns
#
# Time $t$ runs from 0 (the label) to $T = 500$ (nothing but noise). In between (`q_sample`),
#
# $$s_t = \sqrt{\bar\alpha_t}\, s_0 + \sqrt{1 - \bar\alpha_t}\; k\, \varepsilon$$
#
# where $\varepsilon$ is standard normal noise, one number for each class. In words: some of the label is kept,
# and noise fills up what is gone. The **schedule** $\bar\alpha_t$ (`alpha_bar`) falls from 1 to 0 along a cosine,
# so that no step loses much more than the others.
#
# The triangle at the top shows 200 noised copies of one label. Move t. A copy that has crossed a dotted line has
# another class in the lead. Right: what is left of the label, how strong the noise is, and how many labels
# *survive*, that is, still lead. Then try k: what does it change, and what does it not?

# %% tags=["finding"]
T, C = 500, len(setup.names)
level = nk.diffusion.alpha_bar(T)
survives = nk.diffusion.survival(level, C)
crossing = int((level - 0.5).abs().argmin())
lost = nk.widgets.compute_noised(0, T, n=2000)
told = say(
    "Two things may surprise you.",
    f"- Where noise is as strong as the label (t = {crossing}, where the two curves cross), still"
    f" {amount(float(survives[crossing]), digits=0)} of the copies have their own class in the lead, with {C} classes: a"
    " class's own number begins 2k above all others.",
    "- Pure noise is not in the middle of the triangle: its largest probability is"
    f" {amount(float(lost.points.max(1).mean()), digits=0)} on average. Its size is k too, so its softmax is nearly always"
    " close to *some* corner or side. Noise looks like a label that somebody is sure of; only that it is a random one.",
)
told

# %% tags=["check"]
assert f"still {amount(float(survives[crossing]), digits=0)}" in told
assert level[0] == 1
assert level[-1] < 0.01
assert (level.diff() < 0).all(), "the schedule falls"
assert abs(float(survives[-1]) - 1 / C) < 0.01, "at the end a class leads by chance alone"
assert 0.45 * T < crossing < 0.55 * T, "label and noise are equally strong near the middle"
if C <= 8:
    assert survives[crossing] > 0.6, "most labels still lead where noise is as strong as they"
assert lost.points.max(1).mean() > 0.8, "pure noise is near a corner, not in the middle"
assert np.allclose(lost.leads, 1 / 3, atol=0.06), "and near any corner equally often"

# %% [markdown]
# ## 3. Backward: the denoiser
#
# The **denoiser** is a small network. It is told
#
# - $s_t$, the noised label, and how much noise there is, $\bar\alpha_t$;
# - the observed label ỹ, here what the language model said;
# - what is known of the text: MiniLM's embedding, and the trajectory of the first stage (notebook 07).
#
# It answers with C probabilities for the label that was there before the noise. It learns as a classifier
# does, by cross-entropy: a label is drawn from the text's prior (notebook 07), noised to a random time, and
# has to be found again. So it learns $P(y \mid s_t, \tilde y, x)$.
#
# To get a label out of nothing, the **reverse chain** starts from pure noise and asks the denoiser again
# and again. Each time it goes to the corner of the likeliest class, and adds a little less noise than
# before: $s_{t-1} = \sqrt{\bar\alpha_{t-1}}\, \hat s + \sqrt{1 - \bar\alpha_{t-1}}\; k\, \varepsilon$, where $\hat s$ is that corner. Ten steps are enough here,
# although training knows 500 times: the denoiser is told $\bar\alpha$ itself, not the number of the step.
#
# ## 4. The experiment
#
# The labels come first. Live, a language model is asked about every text, unless its answers
# are stored already.

# %%
setup.labels

# %% [markdown]
# SmolLM2 labels the texts with one gold example a class (as in notebooks 00 and 06), SiDyP learns from these
# labels, and its denoiser is questioned. SiDyP asks five neighbours instead of ten, because small topics
# have only a handful of 300 texts; this was chosen in notebook 00 by its own test scores, so what
# follows illustrates the method and does not measure it.


# %%
def experiment():
    texts, noisy, true = setup.texts, setup.noisy_label, setup.label
    sidyp = nk.SiDyP(neighbours=5, variant="text_space", **setup.shared).fit(setup.ds)
    config = sidyp.config

    # Whom does the denoiser believe? It is shown the right label, or a wrong one, under more and more noise.
    draws = np.random.default_rng(setup.seed)
    wrong = (true + draws.integers(1, len(setup.names), len(true))) % len(setup.names)
    T, rows = config.diffusion_steps, []
    for t in np.linspace(0, T, 6).round().astype(int).tolist():
        for shown, label in (("the right label", true), ("a wrong label", wrong)):
            answer = sidyp.denoised(texts, noisy, label, t).argmax(1)
            right, followed = (answer == true).mean(), (answer == label).mean()
            rows.append({"t": t, "shown": shown, "right": right, "as shown": followed})

    # And the observed label? At t = T nothing else but the text speaks.
    told = {"the language model's": noisy, "none": 0 * noisy - 1, "the right one": true, "a wrong one": wrong}
    heard = {name: (sidyp.denoised(texts, z, true, T).argmax(1) == true).mean() for name, z in told.items()}

    # How many steps? They are not learnt, so one model serves for all.
    test, steps = setup.clean["test"], []
    for n in (1, 2, 5, 10):
        sidyp.config = replace(config, prediction_steps=n)
        p = sidyp.predict_proba(test["text"][:])
        scores = nk.evaluate_probabilities(p, test["label"][:])
        steps.append({"steps": n, "confidence": p.max(1).mean(), **scores})

    drawn = np.sort(draws.permutation(len(texts))[:100])
    chain = sidyp.chain([texts[i] for i in drawn], noisy[drawn])
    return {
        "noisy_label": noisy, "believed": pd.DataFrame(rows),
        "heard": pd.DataFrame({"observed label": list(heard), "right": list(heard.values())}),
        "steps": pd.DataFrame(steps), "drawn": drawn, "chain": chain.astype(np.float16),
    }  # fmt: skip


run = setup.run("simplex_diffusion", experiment)
run

# %% [markdown]
# ## 5. Whom does the denoiser believe?
#
# Each training text's *right* label is noised to time t and shown to the denoiser; then the same with a
# *wrong* label. (True labels are used for this question only; SiDyP never saw them.) A model that only
# removes noise would give back whatever it is shown, as long as it can be made out.

# %%
believed = run["believed"]
fig, ax = nk.plots.figure(width=8.5, height=3.6)
alt = nk.plots.draw_answers(believed, ax)
nk.plots.show(fig, alt)

# %%
by_told = run["heard"].replace({"the language model's": "the observed one"})  # whoever gave it
by_told.round(3)

# %% tags=["finding"]
by_label = believed.set_index(["t", "shown"])
right, as_shown = (by_label[column].unstack("shown") for column in ("right", "as shown"))  # noqa: PD010
end, start = right.iloc[-1], right.iloc[0]
heard = by_told.set_index("observed label")["right"]
given_back = as_shown["a wrong label"].max()
told = say(
    f"Shown a wrong label, the denoiser gives it back in {amount(given_back)} of the cases at most, and is right in"
    f" {amount(right['a wrong label'].min())} to {amount(right['a wrong label'].max())}:",
    when(
        right["a wrong label"].min() > given_back,
        "it answers what fits the *text*.",
        when(given_back > 0.5, "it does listen to the label.", "mostly it answers neither."),
    ),
    f"Shown the right label without noise, it is right in {amount(start['the right label'])}; at t = T, where nothing is"
    f" left of either label, in {amount(end['the right label'])}.",
)
heard_told = say(
    f"The table asks the same of the observed label, at t = T: by what the denoiser is told,"
    f" {extremes(heard)}.",
    when(heard.max() - heard.min() < 0.06, "Whatever it is told, it is right about as often."),
)
say(told, heard_told)

# %% [markdown]
# Why should it be so? The labels that it learns are drawn from the prior, and the prior is read off a text's
# *neighbours*, not off its own label. So the text (with its trajectory) is a good answer at all times, the only
# one while noise is strong, and half of the training has noise that is stronger than the label.
#
# Where the text decides, this "diffusion" is close to a classifier of the text that has learnt, from the prior,
# to distrust labels. That is no defect: of labels of which many are wrong, it is the point.

# %% tags=["check"]
heard_told.check(heard)
assert amount(believed.query("shown == 'a wrong label'")["as shown"].max()) in told
assert abs(end["the right label"] - end["a wrong label"]) < 0.03, "of pure noise nothing can be learnt"
if run.as_given:
    assert as_shown["a wrong label"].max() < 0.25, "a wrong label is hardly ever given back"
    assert right["a wrong label"].min() > 0.65, "the text decides"
    assert right["the right label"].iloc[0] > end["the right label"], "a right label helps a little"
    assert heard.max() - heard.min() < 0.06, "the observed label is hardly heard either"

# %% [markdown]
# ## 6. The chain, step by step
#
# Now the reverse process on real news. Left, a bar a step: where the chain is, as probabilities. Right, all
# three branches at the framed step. All texts see the same noise (so that a text's answer does not depend
# on its neighbours in the batch): the bars at the start are the same for all. The first
# texts (six, if there are) were labelled wrongly, the others rightly.

# %%
drawn, noisy_label, label = run["drawn"], run["noisy_label"], setup.label
mislabelled = noisy_label[drawn] != label[drawn]
chosen = np.concatenate([np.flatnonzero(mislabelled)[:6], np.flatnonzero(~mislabelled)[:6]])


def show_chains(run):
    index = run["drawn"][chosen]
    return nk.widgets.chain_explorer(
        run["chain"][:, :, chosen], run["noisy_label"][index], [setup.texts[i] for i in index], setup.names,
        label[index],
    )  # fmt: skip


nk.widgets.explore(run, show_chains)

# %%
lead = run["chain"].argmax(-1)  # (steps + 1, branches, texts)
last = lead[-1]
pd.DataFrame(
    {
        "after step": range(len(lead)),
        "leads, and is the answer in the end": [f"{100 * (now == last).mean():.0f} %" for now in lead],
        "largest probability": [f"{100 * p:.0f} %" for p in run["chain"].max(-1).mean((1, 2))],
    }
).set_index("after step")

# %% tags=["finding"]
chain = run["chain"]
S = len(chain)
agrees, sure = (lead == last).mean((1, 2)), chain.max(-1).mean((1, 2))
settled = int(np.argmax(np.minimum.accumulate(agrees[::-1])[::-1] > 0.9))
told = say(
    f"At the start the class that leads is the one of the end in {amount(agrees[0])} of the chains; from step {settled}"
    " on in more than nine of ten."
    if agrees[settled] > 0.9
    else "",
    when(
        agrees[S // 2] > 0.9,
        "Little happens on the way: the denoiser knows its answer from the text (section 5), and noise hides it.",
    ),
    f"The largest part of a bar is {amount(sure[:-1].min())} or more, on average, before the last.",
    when(
        sure[-1] < sure[-2] - 0.005,
        f"The last bar is less sure than the one before it ({amount(sure[-1])}, {amount(sure[-2])}):"
        " that one shows a corner with little noise, the last one what the denoiser really thinks.",
    ),
)
told

# %% tags=["check"]
assert ("less sure than the one before" in told) == (sure[-1] < sure[-2] - 0.005)
assert np.allclose(chain.sum(-1), 1, atol=1e-3), "every step is a point of the simplex"
assert (lead[0] == lead[0][:, :1]).all(), "all texts of a branch start from the same noise"
if run.as_given:
    assert mislabelled[chosen].tolist() == [True] * 6 + [False] * 6
    assert agrees[: S // 3].mean() < 0.6, "at first noise has the lead"
    assert agrees[-3:].min() > 0.9, "in the last steps the answer leads"
    assert sure[:-1].min() > 0.5, "a noised label looks sure of something"
    assert sure[-1] < sure[-2], "the answer is less sure than the corner before it"
    assert (last == label[drawn]).mean() > (noisy_label[drawn] == label[drawn]).mean() + 0.1

# %% [markdown]
# ## 7. How many steps?
#
# To predict, SiDyP averages the answers of several chains, of all branches and of the likely observed
# labels (`posterior`):
#
# $$P(y \mid x) = \frac{1}{M} \sum_m \sum_{\tilde y} P_{\mathrm{diff},m}(y \mid \tilde y, x)\, P_{\mathrm{clf},m}(\tilde y \mid x)$$
#
# The same model on clean test texts, with chains of one step and more (one step: the answer to pure noise):

# %%
steps = run["steps"][["steps", "accuracy", "macro_f1", "confidence", "ece", "nll"]]
steps.round(3)

# %% tags=["finding"]
by_steps = steps.assign(chain=[f"chain of {n}" for n in steps["steps"]]).set_index("chain")
one, most = by_steps.index[0], by_steps.index[-1]
told = {
    column: say(f"{words} {compare(by_steps[column], most, one)}.")
    for column, words in (
        ("accuracy", "In accuracy, a"),
        ("confidence", "In confidence, a"),
        ("ece", "In calibration error, a"),
    )
}
say(
    *told.values(),
    when(
        by_steps["confidence"][most] - by_steps["confidence"][one]
        > max(0.005, by_steps["accuracy"][most] - by_steps["accuracy"][one]),
        "With more steps the model gets surer, and not as much more right: each later step sees a label that the chain"
        " has chosen itself, and takes it for evidence.",
    ),
    "The published method predicts after ten steps; nlkit's default is one, which is ten times cheaper as well. Ten are",
    "used while SiDyP learns, where only the likeliest class counts.",
)

# %% tags=["check"]
for column, sentence in told.items():
    sentence.check(by_steps[column])
assert by_steps[["accuracy", "confidence", "ece"]].apply(lambda part: part.between(0, 1)).all(axis=None)
if run.as_given:
    spread = by_steps["accuracy"].max() - by_steps["accuracy"].min()
    assert spread < 0.04, "accuracy hardly depends on the number of steps"
    more = by_steps.loc[most] - by_steps.loc[one]
    assert more["confidence"] > 0.02, "more steps, more sure"
    assert (more[["ece", "nll"]] > 0).all(), "and worse calibrated"

# %% tags=["result"]
result = by_steps[["accuracy", "ece", "confidence", "macro_f1", "nll"]].reset_index()
result = result.rename(
    columns={"accuracy": "test accuracy", "ece": "ECE", "macro_f1": "macro F1", "nll": "NLL"}
)
setup.write(result=result, steps=steps, believed=believed, heard=run["heard"])
result.round(3)

# %% [markdown]
# ## Takeaways
#
# Those of the recorded runs; what yours found stands in the sentences above.
#
# - A label becomes a corner of a simplex; noise moves it about, and the schedule says how much.
# - A label survives longer than one thinks, and k has no part in that: it scales label and noise alike.
# - The denoiser sees the noised label, the observed label and the text, and here it believes the text.
# - The reverse chain walks from random sureness to the answer. One step answers as well as ten, and knows
#   better how sure to be.
# - Look at what a part does before you believe its name: this diffusion gains its accuracy from what it is
#   told and taught, not from walking.
#
# ## Exercises
#
# Each is checked at once. `nk.check.simplex_diffusion.q1.hint()` gives a hint to the first, and a further
# one when it is called again.
#
# **1.** What is ᾱ half way through the schedule, at t = 250 of 500? Two digits will do.

# %% tags=["solution"]
answer_1 = float(nk.diffusion.alpha_bar(500)[250])
# stub:
# answer_1 = None  # a number
nk.check.simplex_diffusion.q1(answer_1)

# %% [markdown]
# **2.** Double the scale, from k = 5 to k = 10. What happens to the share of copies in which the class
# still leads, and to the copies' largest probability on average: `"smaller"`, `"same"` or `"larger"`?

# %% tags=["solution"]
small, large = (nk.widgets.compute_noised(0, 250, scale=k) for k in (5.0, 10.0))
assert (small.leads == large.leads).all()
assert large.points.max(1).mean() > small.points.max(1).mean()
answer_2 = ("same", "larger")
# stub:
# answer_2 = (None, None)  # two words: for the share, for the probability
nk.check.simplex_diffusion.q2(answer_2)

# %% [markdown]
# **3.** Three branches, eight chains for each observed label, two observed labels that are likely enough.
# How many answers of a denoiser does it take to predict one text, with chains of *ten* steps?

# %% tags=["solution"]
branches, chains, observed, steps_each = 3, 8, 2, 10
answer_3 = branches * chains * observed * steps_each
# stub:
# answer_3 = None  # a number
nk.check.simplex_diffusion.q3(answer_3)

# %% [markdown]
# **4.** At t = T, which of the denoiser's inputs says nothing about the true label: `"text"`,
# `"observed label"` or `"noised label"`?

# %% tags=["solution"]
shown_last = run["believed"].query("t == t.max()")["right"]  # shown a right label, and a wrong one
assert shown_last.max() - shown_last.min() < 0.03
answer_4 = "noised label"
# stub:
# answer_4 = None  # one of the three
nk.check.simplex_diffusion.q4(answer_4)

# %% [markdown]
# **5.** Write it: one step of the reverse process, from the denoiser's probabilities (C numbers), ᾱ of the
# step before, the noise ε of that step (C numbers) and the scale k. The corner of the likeliest class is
# what the denoiser takes for the label.


# %% tags=["solution"]
def step_back(p, level, noise, scale):
    corner = scale * np.where(np.arange(len(p)) == p.argmax(), 1, -1)
    return np.sqrt(level) * corner + np.sqrt(1 - level) * scale * noise


# stub:
# def step_back(p, level, noise, scale):
#     """Return s_{t−1}, shape (C,); level is ᾱ_{t−1}."""
#     return None  # your code


nk.check.simplex_diffusion.q5(step_back)

# %% tags=["score"]
nk.check.simplex_diffusion.score()

# %% [markdown]
# ## Instructor's note
#
# Where it speaks of results, they are those of the recorded runs.
#
# **Time:** 45 minutes: sections 1 and 2 with the slider 15, section 3 on the board 10, sections 5 to 7 20.
#
# **Misconceptions.** "The chain improves the answer step by step": here it hardly does (section 7). "Pure
# noise is the middle of the simplex": it is near the corners. "A larger k keeps labels alive for longer":
# it scales the noise too.
#
# **Ask the class** before section 5: the denoiser is shown *earn* without any noise, for a text about
# ships. What should a good one answer? (There is no right answer without saying how far labels can be
# trusted; the prior has taught it that.)
#
# ## Next
#
# [09_sidyp](09_sidyp.ipynb) puts the parts together and measures what each of them is worth.

# %% [markdown]
# <details><summary>Times, places to run this, and the papers' parts in the code</summary>
#
# {{measured}}
#
# {{places}}
#
# **The papers.** The method is SiDyP, [simplex label diffusion with a dynamic
# prior](https://arxiv.org/abs/2505.19675) (2025), implemented after its published description. The
# schedule is that of *Improved Denoising Diffusion Probabilistic Models* (Nichol and Dhariwal,
# [arXiv 2102.09672](https://arxiv.org/abs/2102.09672)).
#
# | in the paper | in the code |
# |---|---|
# | label as a simplex vector s₀ = k (2 · onehot − 1) | `nlkit.methods.sidyp.diffusion.to_simplex` |
# | cosine schedule ᾱ_t | `nlkit.methods.sidyp.diffusion.alpha_bar` |
# | forward process: s_t = √ᾱ_t s₀ + √(1 − ᾱ_t) k ε | `nlkit.methods.sidyp.diffusion.q_sample` |
# | denoiser | `nlkit.methods.sidyp.diffusion.Denoiser` |
# | reverse process | `nlkit.methods.sidyp.diffusion.p_sample_loop` |
# | training of the denoiser | `nlkit.methods.sidyp.refinement.Refinement` |
# | prediction: the sum over observed labels | `nlkit.methods.sidyp.posterior.posterior` |
#
# </details>

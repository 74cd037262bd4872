"""Plausible wrong answers: in a solution replace `old` by `new` (all of it where old is empty), expect `message`."""

# ruff: noqa: E501

Mutant = tuple[str, str, str]

MUTANTS: dict[str, list[Mutant]] = {
    "00-1": [
        ("100 * ", "", "return a share"),
        ("[labels == label] == label", " == labels", "images of all classes"),
        (
            "(answers[labels == label] == label).double().mean()",
            "((answers == label) & (labels == label)).double().mean()",
            "number of all images",
        ),
    ],
    "00-2": [
        (", minlength=classes", "", "classes that nobody answers"),
        (
            "torch.bincount(answers, minlength=classes)",
            "torch.bincount(answers, minlength=classes) / len(answers)",
            "counts were asked for",
        ),
    ],
    "00-3": [
        ("torch.equal(value, after[name])", "torch.allclose(value, after[name])", "one part in a million"),
        ("for name, value in before.items()", "for name, value in before.items() if 'weight' in name", "buffer"),
        ("before.keys() == after.keys() and ", "", "compare the names"),
        ("torch.equal(value, after[name])", "value is after[name]", "compare values"),
    ],
    "00-4": [('"b"', '"a"', "whole class"), ('"b"', '"c"', "never saw"), ('"b"', '"x"', "choose one of a, b, c")],
    "01-1": [
        ("copy.deepcopy(model)", "model", "has changed"),
        ("hidden.head.bias[label] = -1e6", "hidden.head.bias[label] = 0", "Lower its bias"),
        ("hidden.head.weight[label] = 0", "hidden.head.weight[:] = 0", "Other answers changed"),
        ("return hidden", "pass", "returns None"),
    ],
    "01-2": [
        ("stats.t.ppf(0.975, count - 1)", "1.96", "normal quantile"),
        ("0.975", "0.95", "one-sided"),
        ("math.sqrt(count)", "count", "root of n"),
        ("return count", "return count + 1", "stop at the first"),
    ],
    "01-3": [
        (".amax(dim=1).mean()", ".mean()", "mean of each row"),
        ("amax", "amin", "smallest of each row"),
        (".amax(dim=1).mean()", ".max()", "all values drawn"),
    ],
    "01-4": [
        ("", "return sum(a) / len(a) - sum(b) / len(b), half_width(a) + half_width(b)", "bug is still there"),
        ("", "return sum(a) / len(a) - sum(b) / len(b), math.hypot(half_width(a), half_width(b))", "independent"),
        ("x - y for", "y - x for", "sign is turned"),
    ],
    "02-1": [
        ("abs(", "(", "signed difference"),
        ("max(", "(lambda d: sum(d := list(d)) / len(d))(", "mean distance"),
        ("", "return abs(sum(a) / len(a) - sum(b) / len(b))", "compare their curves"),
    ],
    "02-2": [
        ("out_a & out_b", "out_a | out_b", "in either mask"),
        ("out_a & out_b", "out_a == out_b", "both are False"),
        (" / len(out_a)", " / len(out_a) ** 2", "multiply by the number"),
    ],
    "02-3": [
        ("100 * ", "", "return a share"),
        ("topk(k, dim=1)", "topk(k, dim=1, largest=False)", "farthest"),
        ("topk(k, dim=1)", "topk(10, dim=1)", "ten neighbours"),
    ],
    "02-4": [
        ("F.normalize(means, dim=1)", "means", "bug is still there"),
        ("dim=1)", "dim=0)", "wrong dimension"),
        ("F.normalize(means, dim=1)", "means / means.norm()", "each has its own"),
    ],
    "03-1": [
        (" / tau)", ")", "temperature is missing"),
        ("return total", "return total / len(forget_z)", "mean over anchors"),
        ("total += -", "total += ", "sign is turned"),
        (" / len(logs)", "", "divide each anchor's sum"),
        (" if positive)", ")", "all retained embeddings"),
    ],
    "03-2": [
        (" / len(forget_z)", "", "number of anchors"),
        ("@ forget_z / temperature", "@ forget_z", "factor 1 / temperature"),
        ("q - (~positive)", "q + 0 * (~positive)", "push alone"),
    ],
    "03-3": [
        ("math.ceil", "math.floor", "round down"),
        ("math.ceil", "float", "did not round"),
        ("math.log(1 - 1 / classes)", "math.log(1 / classes)", "probability 1 - 1/C"),
    ],
    "04-1": [
        ("math.log(len(retain_z))", "0", "log R is missing"),
        (" / tau", "", "temperature is missing"),
        (") - forget_z", ") + forget_z", "sign of the pull"),
        ("forget_z.mean", "forget_z.sum", "add the anchors"),
    ],
    "04-2": [
        (" / len(forget_z)", "", "Divide the gradient"),
        (" - retain_z.mean(dim=0)", "", "left the plain mean out"),
        (" / tau / len", " / len", "factor 1 / tau"),
        ("s.logsumexp(dim=1)", "torch.tensor(float(len(retain_z))).double().log()", "Eq. 6 itself"),
        ("(s.logsumexp(dim=1) - s.mean(dim=1)).mean()", "(s.logsumexp(dim=1) - s.mean(dim=1)).sum()", "mean was asked"),
    ],
    "04-3": [
        ("math.ceil", "math.floor", "round down"),
        ("math.ceil", "float", "did not round"),
        ("cosine**2", "cosine", "cosine is not squared"),
        ("length**2", "length", "length is not squared"),
    ],
    "04-4": [('"a"', '"b"', "gradient halves"), ('"a"', '"c"', "no soft-max"), ('"a"', '"d"', "divided by tau")],
    "05-1": [
        ("-(-n // size)", "n // size", "round the number of batches up"),
        ("batches * omega,", "batches,", "multiply the steps"),
        ("2 * n * omega", "n * omega", "count both"),
        ("2 * n * omega", "2 * size * batches * omega", "not full batches"),
    ],
    "05-2": [
        (" * factor", "", "what it was"),
        (" * factor", " / factor", "upside down"),
        ("temperature / settings.temperature", "temperature", "old temperature"),
        ("temperature=temperature, ", "", "The temperature is"),
    ],
    "05-4": [
        ("right / count", "100 * right / count", "bug is still there"),
        ("<=", "<", "Exactly a guess"),
        ("1 / classes", "0.1", "number of classes"),
        ("<=", ">=", "At 5 %"),
    ],
    "06-1": [
        ("own - others", "others - own", "sign is turned"),
        ("(own - others) / tau", "(own - others)", "factor 1 / tau"),
        ("return (own - others) / tau", "return (own - others) / tau / len(z)", "sum over anchors"),
        ("s.masked_fill(~chosen, -torch.inf).softmax(dim=1) @ keys", "s.softmax(dim=1) * chosen @ keys", "mask first"),
    ],
    "06-2": [
        ("math.ceil", "math.floor", "round down"),
        ("percent / 100", "percent", "in percent"),
        ("1 - 1 / classes", "1 / classes", "1 - 1/C"),
    ],
    "06-3": [
        ("left ** (1 / steps)", "1 - (1 - left) / steps", "spread the loss evenly"),
        ("left ** (1 / steps)", "1 - left ** (1 / steps)", "replaced in a step"),
        ("(1 / steps)", "steps", "power is 1 / steps"),
        ("** (1 / steps)", "/ steps", "divide the share"),
    ],
    "06-4": [
        ("z - 0.01", "z + 0.01", "goes *down*"),
        ("change[0] < 0 < change[1]", "change.abs().sum() > 0", "sign turned"),
        ("change[0] < 0 < change[1]", "change[0] > 0 > change[1]", "goes *down*"),
    ],
    "07-1": [
        ('"forget": 0.0', '"forget": 90.0', "still answered"),
        ('goal["retain_test"] - 1', "10.0", "leaves the answers on other classes"),
        (', "forget_test": 0.0', "", "The keys are"),
        ('goal["retain_test"] - 1', 'goal["retain_test"]', "Retrain's own numbers"),
    ],
    "07-2": [
        ("[-1]", "[0]", "first row of the history"),
        ("forget_accuracy", "test_accuracy", "on test images"),
        ("max_rounds=limit", "max_rounds=5", "You run with max_rounds"),
        ("run(replace(settings, max_rounds=limit))", "run(settings)", "You run with max_rounds"),
    ],
    "07-3": [
        ("abs(", "(", "bug is still there"),
        (" / 100", "", "divide the differences"),
        ("", "return 1 - sum(abs(measured[k] - goal[k]) for k in goal) / 100 / len(goal)", "is their product"),
    ],
    "08-1": [
        ("logits.softmax(dim=1)", "logits.log_softmax(dim=1)", "not its logarithm"),
        ("return logits", "return -logits", "sign is turned"),
        (".mean()", ".sum()", "mean was asked"),
        (".mean()", ".mean().detach()", "No gradient passes"),
    ],
    "08-2": [
        ("- (1 - a)", "+ (1 - a)", "Both terms are descended"),
        (
            "",
            "a = 1 - a\nreturn a * F.cross_entropy(retain_logits, retain_y) - (1 - a) * F.cross_entropy(forget_logits, forget_y)",
            "weights are exchanged",
        ),
        ("(1 - a) * ", "", "weight 1 - a"),
        (
            "",
            "return (1 - a) * F.cross_entropy(forget_logits, forget_y) - a * F.cross_entropy(retain_logits, retain_y)",
            "sign of the whole loss",
        ),
    ],
    "08-3": [('"c"', '"a"', "p - e"), ('"c"', '"b"', "bounded objective")],
    "09-1": [
        ("[:-1]", "", "Leave the extra class out"),
        ("logits.softmax(dim=0)[:-1]", "logits[:-1].softmax(dim=0)", "all C + 1 logits"),
        ("return ", "return -", "sign is turned"),
    ],
    "09-2": [
        (" / 2", "", "twice"),
        ("100 * ", "", "return a share"),
        (".abs()", "", "cancel to zero"),
        (" / reference.sum()", " / 100", "divide by how many"),
    ],
    "09-3": [
        ("logits.scatter(1, labels[:, None], -torch.inf)", "logits", "bug is still there"),
        ("-torch.inf", "0", "no lowest logit"),
        ("-torch.inf).argmax", "torch.inf).argmin", "farthest"),
    ],
    "10-1": [
        (" / temperature**2", "", "T squared is still in"),
        ("temperature**2", "temperature", "carries its square"),
        ("kl(leaf, teacher,", "kl(teacher, leaf,", "exchanged"),
        ("norm()", "square().sum()", "squared length"),
    ],
    "10-2": [
        ("retain_test", "retain", "retained *test*"),
        ('found["forget"]', 'found["forget_test"]', "forgotten training images"),
        ("max_rounds=5, ", "", "You run with max_rounds"),
        ("max_steps=count", "max_steps=5", "You run with max_steps"),
    ],
    "10-3": [
        ("if epoch < max_steps", "if True", "first `max_steps` epochs"),
        ("", 'return ["max"] * max_steps + ["min"] * epochs', "in a row"),
        ("", "return [n for e in range(epochs) for n in ['min'] + ['max'] * (e < max_steps)]", "comes first"),
    ],
    "11-1": [
        ('"noise_penalty": 0.0', "", "You run with noise_penalty"),
        (', "noise_learning_rate": 1e-9', "", "still learned"),
        ("retain_test", "retain", "retained *test*"),
    ],
    "11-2": [
        ("100 * ", "", "percent was asked"),
        ("[labels == label] == label)", "[answers == label] == labels[answers == label])", "how often the class"),
        (
            "(answers[labels == label] == label).double()",
            "((answers == label) & (labels == label)).double()",
            "all images",
        ),
        ("in wanted", "in sorted(wanted)", "order of `wanted`"),
    ],
    "11-3": [
        ("-F.cross", "F.cross", "bug is still there"),
        ("+ penalty", "- penalty", "penalty is turned"),
        (".sum(dim=(1, 2, 3))", "", "mean over pixels"),
    ],
    "12-1": [
        ('found["forget"], found["retain"]', 'found["retain"], found["forget"]', "order is"),
        (", directions=1", "", "You run with directions"),
        ("alpha=alpha, ", "", "You run with alpha"),
    ],
    "12-2": [
        (
            "",
            "return ((sum(estimates) / len(estimates) - exact).norm() / exact.norm()).item()",
            "average the estimates",
        ),
        (" / exact.norm().item()", "", "not relative"),
        (" / len(errors)", "", "take their mean"),
    ],
    "12-3": [('"b"', '"a"', "small where F is large"), ('"b"', '"c"', "never looks"), ('"b"', '"d"', "not the same")],
    "13-1": [
        (" if j != i", "", "not its own neighbour"),
        ("b <= a for b", "b < a for b", "itself included"),
        ("n = len(y)", "y, z = z, y\n    n = len(y)", "exchanged"),
        ("sum(n * min", "sum(min", "factor n"),
    ],
    "13-2": [
        ("add_noise=False, ", "", "You run with add_noise"),
        (", damping=damping", "", "You run with damping"),
        ('["forget"]', '["retain"]', "retained images"),
    ],
    "13-3": [
        ("", "return abs(sum(ours) / len(ours) - sum(retrain) / len(retrain))", "bug is still there"),
        ("abs(", "(", "cancel"),
        (" / len(ours)", "", "take their mean"),
    ],
    "14-1": [
        ("p.square().sum(dim=1, keepdim=True)", "p", "A line through p"),
        (", keepdim=True", "", "expected one row an image"),
        ("p.square().sum(dim=1, keepdim=True)", "p[:, :1].square()", "A line through p"),
    ],
    "14-2": [
        ("copy.deepcopy(model)", "model", "has changed"),
        ("silent.head.weight.zero_()", "silent.head.weight.mul_(0.5)", "different things of different images"),
        ("silent.head.weight.zero_()", "silent.projection[-1].weight.zero_()", "encoder must stay"),
    ],
    "14-3": [
        ("np.abs(scores - np.median(known))", "scores - np.median(known)", "sign is still in"),
        ("np.median(known)", "np.median(scores)", "told by `known`"),
        (" - np.median(known)", "", "distance from zero"),
    ],
    "14-4": [
        ("1 / math.sqrt(count)", "0.0", "true means"),
        (
            "(phi - mean_b) ** 2 / 2 - (phi - mean_a) ** 2 / 2",
            "(phi - mean_a) ** 2 / 2 - (phi - mean_b) ** 2 / 2",
            "signs",
        ),
        ("1 / math.sqrt(count)", "1 / count", "1 / sqrt(count)"),
    ],
    "15-1": [
        ("F.relu(z)", "z", "relu(z)"),
        (" * net.head.weight[others].norm(dim=1).mean()", "", "length 1"),
        ("copy.deepcopy(net)", "net", "has changed"),
        ("net.head.bias[label] = net", "net.head.bias[0] = net", "other classes changed"),
        ("net.head.bias[label] = net.head.bias[others].mean()", "pass", "still the mask's"),
    ],
    "15-2": [('"b"', '"a"', "millions of steps"), ('"b"', '"c"', "few hundredths")],
    "15-3": [
        ("u[:count], v[:count]", "u, v", "take the first"),
        (".p", ".squared", "MMD squared"),
        ("u[:count], v[:count]", "u[:count], u[:count]", "with itself"),
    ],
    "15-4": [
        ("spearmanr(a, b).statistic", "pearsonr(a, b).statistic", "Pearson"),
        ("for k in (0, 1)", "for k in (0, 0)", "with itself"),
        ("half.any(dim=0) & ~half.all(dim=0)", "half.any(dim=0) | True", "The answer is NaN"),
    ],
    "16-1": [
        (".mean().item()", ".sum().item()", "loss is their mean"),
        ("labels.bincount()[labels]", "labels.bincount()[labels.unique()]", "mean over classes"),
        (".log().mean()", ".mean().log()", "mean of logs"),
        (".log()", "", "logarithm is missing"),
    ],
    "16-2": [
        ("F.normalize(rows, dim=1)", "rows", "unit length"),
        ("of_class.mean(dim=0)", "of_class[0]", "one sentence"),
        ("argmax", "argmin", "least similar"),
    ],
    "16-3": [
        ("copy.deepcopy(net)", "net", "frozen now"),
        ("frozen.net.visual", "frozen.net", "text encoder is frozen"),
        ("frozen.net.visual", "frozen.net.visual[0]", "can still move"),
    ],
    "16-4": [
        ("100 * ", "", "return a share"),
        ("rows = texts.clone()", "rows = texts", "changed the texts"),
        ("rows[label] = candidate", "pass", "old text"),
    ],
    "17-1": [
        ("left.high", "left.mean", "upper end"),
        ("gap.low", "gap.mean", "lower end"),
        ('max(run["metrics"]["forget"], run["metrics"]["forget_test"])', 'run["metrics"]["forget"]', "larger of both"),
        ("return None", "return False", "fewer than two"),
    ],
    "17-2": [
        ('[("cifar10", "paper")]', '[("cifar10", "paper"), ("digits", "laptop")]', "several scales"),
        (
            'claims.verdict(claims.judge(claim, [("cifar10", "paper")]))',
            'claims.judge(claim, [("cifar10", "paper")])',
            "Return the verdict",
        ),
    ],
    "17-3": [
        ('["metrics"]["retain_test"]', '["metrics"]["test"]', "all test images"),
        ('(run["seed"], run["commit"])', 'run["commit"]', "commits alone"),
        ("return interval, {", "return interval.mean, {", "is an interval"),
    ],
    "18-1": [
        ("low > margin", "(low + high) / 2 > margin", "decides nothing"),
        ("high < margin", "False", "too kind"),
        ("high < margin", "high < 0", "compare with zero"),
    ],
    "18-2": [
        ("for seed in ours", "for seed in ours if ours[seed] < theirs[seed]", "bug is still there"),
        ("theirs[seed] - ours[seed]", "ours[seed] - theirs[seed]", "sign is turned"),
        ("theirs[seed] - ours[seed]", "abs(theirs[seed] - ours[seed])", "absolute values"),
        ("theirs[seed] - ours[seed]", "max(theirs[seed] - ours[seed], 0.0)", "to zero"),
    ],
}

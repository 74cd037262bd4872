"""The random cases on which chapters hold their losses."""

import torch

from cu_helpers.cases import random_case, random_pair


def test_a_case_has_unit_rows_its_labels_and_its_seed() -> None:
    forget_z, forget_y, retain_z, retain_y = case = random_case(3, 40, classes=4, dim=5, seed=7)
    assert (forget_z.shape, forget_y.shape, retain_z.shape, retain_y.shape) == ((3, 5), (3,), (40, 5), (40,))
    assert torch.allclose(torch.cat([forget_z, retain_z]).square().sum(dim=1), torch.ones(43, dtype=torch.float64))
    assert set(retain_y.tolist()) == {0, 1, 2, 3}
    assert all(torch.equal(a, b) for a, b in zip(case, random_case(3, 40, 4, 5, seed=7), strict=True))
    assert not torch.equal(retain_z, random_case(3, 40, 4, 5, seed=8)[2])
    assert all(torch.equal(a, b) for a, b in zip(random_pair(3, 40, 5, 7), (forget_z, retain_z), strict=True))
    assert random_case(1, 1, 2, dtype=torch.float32)[0].dtype == torch.float32

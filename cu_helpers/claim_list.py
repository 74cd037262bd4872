"""The paper's claims, in its order of importance, and the scales at which runs may decide them."""

from . import claim_rules as main
from . import claim_rules_appendix as appendix
from . import claim_rules_privacy as privacy
from .claims import Claim

CLAIMS = (
    Claim("Zero accuracy on the class, utility kept", "5.2, Table 1", main.zero_with_utility),
    Claim("No other method does both", "5.2, Table 1", main.only_one_at_zero),
    Claim("Fastest at forgetting a class", "5.2, Table 2", main.fastest("class")),
    Claim("Zero by about the 60th batch", "D.3, Fig. 2", main.quick_curve),
    Claim("Nearest to Retrain on samples", "5.3, Table 3", main.nearest_on_samples),
    Claim("Fastest at forgetting samples", "5.3, Table 5", main.fastest("samples")),
    Claim("Lowest attack rate", "5.3, Table 4", privacy.lowest_attack),
    Claim("Forgotten samples withstand a stronger attack (our control)", "5.3", privacy.withstands_u_lira),
    Claim("The CE term keeps the rest", "4, Eq. 7", main.ce_keeps_rest),
    Claim("The CE term helps forgetting itself", "4, Eq. 7", main.ce_helps_forgetting),
    Claim(
        "The contrast forgets a class (our control)",
        "4, Eq. 6",
        main.contrast_forgets("class"),
    ),
    Claim(
        "The contrast forgets samples (our control)",
        "4, Eq. 5",
        main.contrast_forgets("samples"),
    ),
    Claim("Insensitive to τ", "D.5, Table 12", appendix.flat_in_temperature),
    Claim("Larger ω steadies", "D.10, Fig. 3", appendix.larger_is_steadier("omega")),
    Claim("Larger batches steady", "D.10, Fig. 4", appendix.larger_is_steadier("batch")),
    Claim("Every class can be forgotten", "D.2, Tables 9 and 10", appendix.every_class),
    Claim("Many samples, nearer to Retrain than Fisher", "D.4, Table 11", appendix.many_samples),
    Claim("Other architectures, a class", "5.2, Tables 1 and 2", appendix.other_models),
    Claim("Other data sets, a class", "appendix, Tables 15 and 20", appendix.other_data),
    Claim("Works with a momentum queue", "D.7, Table 14", appendix.queue_works),
    Claim("Works in CLIP", "D.6, Table 13", appendix.clip_forgets),
    Claim("Embeddings become like those of unseen images", "1 and 4", privacy.like_unseen),
)
SCALES = (
    ("cifar10", "paper"),
    ("svhn", "paper"),
    ("mini_imagenet", "paper"),
    ("cifar10", "laptop"),
    ("digits", "laptop"),
)

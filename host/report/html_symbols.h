/* SPDX-License-Identifier: MIT
 * html_symbols.h -- TeX macros that stand for one symbol: those that answers use, and their
 * neighbours in the alphabets. name, UTF-8, kind. */
#ifndef DLF_HTML_SYMBOLS_H
#define DLF_HTML_SYMBOLS_H

/* I: a letter. F: a function's name, a space between it and its argument. L: the same with what
 * stands below it in a displayed formula. S: sum and product. O: an operator. P, Q: opening and
 * closing fence. */
/* clang-format off */
#define DLF_TEX_SYMBOLS(X)                                                                         \
    X("alpha", "α", I) X("beta", "β", I) X("gamma", "γ", I) X("delta", "δ", I)                     \
    X("epsilon", "ϵ", I) X("varepsilon", "ε", I) X("zeta", "ζ", I) X("eta", "η", I)                \
    X("theta", "θ", I) X("iota", "ι", I) X("kappa", "κ", I) X("lambda", "λ", I)                    \
    X("mu", "μ", I) X("nu", "ν", I) X("xi", "ξ", I) X("pi", "π", I) X("rho", "ρ", I)               \
    X("sigma", "σ", I) X("tau", "τ", I) X("upsilon", "υ", I) X("phi", "ϕ", I)                      \
    X("varphi", "φ", I) X("chi", "χ", I) X("psi", "ψ", I) X("omega", "ω", I)                       \
    X("Gamma", "Γ", I) X("Delta", "Δ", I) X("Theta", "Θ", I) X("Lambda", "Λ", I)                   \
    X("Xi", "Ξ", I) X("Pi", "Π", I) X("Sigma", "Σ", I) X("Phi", "Φ", I) X("Psi", "Ψ", I)           \
    X("Omega", "Ω", I) X("ell", "ℓ", I) X("infty", "∞", I) X("partial", "∂", I)                    \
    X("nabla", "∇", I) X("emptyset", "∅", I) X("top", "⊤", I) X("bot", "⊥", I)                     \
    X("log", "log", F) X("ln", "ln", F) X("exp", "exp", F) X("cos", "cos", F) X("sin", "sin", F)   \
    X("tan", "tan", F) X("cosh", "cosh", F) X("sinh", "sinh", F) X("tanh", "tanh", F)              \
    X("arccos", "arccos", F) X("arcsin", "arcsin", F) X("arctan", "arctan", F) X("arg", "arg", F)  \
    X("det", "det", F) X("dim", "dim", F) X("ker", "ker", F)                                       \
    X("max", "max", L) X("min", "min", L) X("lim", "lim", L) X("sup", "sup", L) X("inf", "inf", L) \
    X("sum", "∑", S) X("prod", "∏", S)                                                             \
    X("int", "∫", O) X("times", "×", O) X("cdot", "⋅", O) X("circ", "∘", O) X("ast", "∗", O)       \
    X("odot", "⊙", O) X("oplus", "⊕", O) X("otimes", "⊗", O) X("pm", "±", O) X("mp", "∓", O)       \
    X("le", "≤", O) X("leq", "≤", O) X("ge", "≥", O) X("geq", "≥", O) X("ll", "≪", O)              \
    X("gg", "≫", O) X("ne", "≠", O) X("neq", "≠", O) X("approx", "≈", O) X("sim", "∼", O)          \
    X("equiv", "≡", O) X("propto", "∝", O) X("to", "→", O) X("rightarrow", "→", O)                 \
    X("leftarrow", "←", O) X("gets", "←", O) X("mapsto", "↦", O) X("Rightarrow", "⇒", O)           \
    X("in", "∈", O) X("notin", "∉", O) X("subset", "⊂", O) X("cup", "∪", O) X("cap", "∩", O)       \
    X("forall", "∀", O) X("exists", "∃", O) X("mid", "∣", O) X("parallel", "∥", O)                 \
    X("perp", "⟂", O) X("dots", "…", O) X("ldots", "…", O) X("cdots", "⋯", O) X("colon", ":", O)   \
    X("prime", "′", O)                                                                             \
    X("lvert", "|", P) X("rvert", "|", Q) X("lVert", "‖", P) X("rVert", "‖", Q)                    \
    X("vert", "|", Q) X("Vert", "‖", Q) X("langle", "⟨", P) X("rangle", "⟩", Q)                    \
    X("lfloor", "⌊", P) X("rfloor", "⌋", Q) X("lceil", "⌈", P) X("rceil", "⌉", Q)                  \
    X("lbrace", "{", P) X("rbrace", "}", Q) X("{", "{", P) X("}", "}", Q) X("|", "‖", Q)           \
    X("%", "%", O) X("$", "$", O) X("#", "#", O) X("_", "_", O)
/* clang-format on */

/* Accents, stretched over their base or not. */
#define DLF_TEX_ACCENTS(X)                                                                         \
    X("hat", "^", false) X("widehat", "^", true) X("bar", "¯", false) X("tilde", "~", false)       \
    X("widetilde", "~", true) X("dot", "˙", false) X("vec", "→", false) X("overline", "‾", true)

/* Widths in em. */
#define DLF_TEX_SPACES(X)                                                                          \
    X(",", "0.167") X(":", "0.222") X(";", "0.278") X("!", "-0.167") X(" ", "0.3")                 \
    X("quad", "1") X("qquad", "2")

/* Delimiters of a given height, in em. */
#define DLF_TEX_SIZES(X)                                                                           \
    X("big", "1.2") X("bigl", "1.2") X("bigr", "1.2") X("Big", "1.8") X("Bigl", "1.8")             \
    X("Bigr", "1.8") X("bigg", "2.4") X("biggl", "2.4") X("biggr", "2.4")

#endif

## common.cl.mako -- functions that several templates share. Each stands behind a guard of its own, since kernels are put together into programs.
<%def name="random_word()">\
#ifndef CLCONV_RANDOM_WORD
#define CLCONV_RANDOM_WORD
// Word 0 of Philox4x32-10 (Salmon et al. 2011) for counter (index, 0, step, 0) and key (seed_low, seed_high).
static inline uint random_word(const uint index, const uint step, const uint seed_low, const uint seed_high)
{
    uint c0 = index, c1 = 0u, c2 = step, c3 = 0u, k0 = seed_low, k1 = seed_high;
    #pragma unroll   // a loop around it can only be vectorised without one inside
    for (int round = 0; round < 10; ++round) {
        const ulong left = (ulong)c0 * 0xD2511F53u;
        const ulong right = (ulong)c2 * 0xCD9E8D57u;
        c0 = (uint)(right >> 32) ^ c1 ^ k0;
        c2 = (uint)(left >> 32) ^ c3 ^ k1;
        c1 = (uint)right;
        c3 = (uint)left;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c0;
}
#endif
</%def>\
## Mathematical functions of float as arithmetic that a loop can be vectorised with: on some drivers exp() and its like are calls.
## For `names` of exp, expm1, log, sqrt and tanh, on values of `kinds`, pairs of a type and the ints of as many lanes. To be undone.
## Errors are at most 4 units in the last place, for all arguments: infinities, NaN, zeros and denormal numbers as C has them.
##
## With k the whole number nearest to x / ln 2 and r = x - k ln 2: exp(x) = 2^k exp(r), and exp(r) = 1 + r + r^2 P(r), where P is the
## polynomial of least error on |r| <= ln 2 / 2. With x = 2^k (1 + f): log(x) = k ln 2 + f - f^2 / 2 + f^3 Q(f) on sqrt(1/2) .. sqrt(2).
## ln 2 is the sum of a number so short that k times it is exact, and of a small one.
<%def name="inline_math(names, kinds=(('float', 'int'),))">\
% for kind, ints in kinds:
% if any(name in names for name in ("exp", "expm1", "tanh")):
#ifndef CLCONV_EXP_${kind}
#define CLCONV_EXP_${kind}
// k into `power`, exp(r) - 1 as the result. Adding 1.5 * 2^23 rounds to a whole number, which is then in the lowest bits.
static inline ${kind} __attribute__((overloadable)) clconv_reduced_exp(const ${kind} x, ${ints} *power)
{
    const ${kind} shifted = x * 1.44269504f + 12582912.0f;
    const ${kind} k = shifted - 12582912.0f;
    *power = as_${ints}(shifted) - 0x4B400000;
    const ${kind} r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    const ${kind} p = (((0.0013951729f * r + 0.0083696041f) * r + 0.0416661873f) * r + 0.1666651219f) * r + 0.5f;
    return r * r * p + r;
}
static inline ${kind} __attribute__((overloadable)) clconv_exp(const ${kind} x)
{
    // Beyond these bounds the result is 0 or infinite; comparisons leave NaN as it is.
    const ${kind} above = x < (${kind})(-110.0f) ? (${kind})(-110.0f) : x;
    const ${kind} inside = above > (${kind})(100.0f) ? (${kind})(100.0f) : above;
    ${ints} power;
    const ${kind} value = clconv_reduced_exp(inside, &power) + 1.0f;
    // In two steps: 2^k itself may be too large or too small.
    const ${ints} half_power = power >> 1;
    return value * as_${kind}((half_power + 127) << 23) * as_${kind}((power - half_power + 127) << 23);
}
#endif
% endif
% if "expm1" in names:
#ifndef CLCONV_EXPM1_${kind}
#define CLCONV_EXPM1_${kind}
static inline ${kind} __attribute__((overloadable)) clconv_expm1(const ${kind} x)
{
    const ${kind} above = x < (${kind})(-40.0f) ? (${kind})(-40.0f) : x;
    const ${kind} inside = above > (${kind})(89.0f) ? (${kind})(89.0f) : above;
    ${ints} power;
    const ${kind} value = clconv_reduced_exp(inside, &power);
    // 2^k (value + 1) - 1, by halves, since 2^k may be too large.
    const ${kind} half_scale = as_${kind}((power + 126) << 23);
    const ${kind} result = (value * half_scale + (half_scale - 0.5f)) * 2.0f;
    return x == (${kind})(0.0f) ? x : result;
}
#endif
% endif
% if "tanh" in names:
#ifndef CLCONV_TANH_${kind}
#define CLCONV_TANH_${kind}
static inline ${kind} __attribute__((overloadable)) clconv_tanh(const ${kind} x)
{
    const ${kind} size = x < (${kind})(0.0f) ? -x : x;
    const ${kind} large = 1.0f - 2.0f / (clconv_exp(2.0f * size) + 1.0f);
    const ${kind} z = x * x;
    const ${kind} p = (((-0.0057170438f * z + 0.0206505861f) * z + -0.0537434965f) * z + 0.1333149076f) * z + -0.3333328366f;
    const ${kind} far = x < (${kind})(0.0f) ? -large : large;
    return size < (${kind})(0.625f) ? x * (z * p + 1.0f) : far;
}
#endif
% endif
% if "log" in names:
#ifndef CLCONV_LOG_${kind}
#define CLCONV_LOG_${kind}
static inline ${kind} __attribute__((overloadable)) clconv_log(const ${kind} x)
{
    // Denormal numbers are multiplied by 2^23 first. The subtraction takes 1 from the power of mantissas below sqrt(1/2). A whole number
    // below 2^22 in the lowest bits of 1.5 * 2^23 is that number as a float: conversions of vectors are calls.
    const ${kind} normal = x < (${kind})(1.17549435e-38f) ? x * 8388608.0f : x;
    const ${ints} bits = as_${ints}(normal) - 0x3F3504F3;
    const ${kind} power = (x < (${kind})(1.17549435e-38f) ? (${kind})(-23.0f) : (${kind})(0.0f)) + (as_${kind}((bits >> 23) + 0x4B400000) - 12582912.0f);
    const ${kind} f = as_${kind}((bits & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
    const ${kind} low = (((0.0692764223f * f + -0.1180839092f) * f + 0.1187734827f) * f + -0.1238167286f) * f + 0.1421778351f;
    const ${kind} p = (((low * f + -0.1666936725f) * f + 0.2000226974f) * f + -0.2499998510f) * f + 0.3333331048f;
    const ${kind} z = f * f;
    const ${kind} result = (f + (z * (f * p - 0.5f) + power * -2.12194440e-4f)) + power * 0.693359375f;
    const ${kind} special = x == (${kind})(0.0f) ? (${kind})(-INFINITY) : (${kind})(NAN);
    // Neither above 0 and finite, nor infinite: 0, negative, NaN.
    return x > (${kind})(0.0f) ? (x == (${kind})(INFINITY) ? x : result) : special;
}
#endif
% endif
% endfor
% if "sqrt" in names:
#ifdef __clang__
#define sqrt(v) __builtin_sqrtf(v)
#endif
% endif
% for name in names:
% if name != "sqrt":
#define ${name} clconv_${name}
% endif
% endfor
</%def>\
<%def name="undo_math(names)">\
% for name in names:
#undef ${name}
% endfor
</%def>\
## The halo of a blocked output: whether to write it, where the first padded plane starts, its rows and columns, and where the map lies.
<%def name="halo_arguments()">\
    const int writes_halo, const int y_first,
    const int y_rows, const int y_columns, const int y_top, const int y_left, const int y_h, const int y_w)
</%def>\
## Zeroes the halo in rows `begin` to `end` of the padded plane that `plane` points to.
<%def name="zero_halo(indent=8, begin='0', end='y_rows')">\
<% pad = " " * indent %>\
${pad}for (int row = ${begin}; row < ${end}; ++row) {
${pad}    const int inside = row >= y_top && row < y_top + y_h;
${pad}    for (int column = 0; column < (inside ? y_left : y_columns); ++column)
${pad}        STOREV(plane, row * y_row + column * BLOCK, (vec)(0.0f));
${pad}    for (int column = y_left + y_w; inside && column < y_columns; ++column)
${pad}        STOREV(plane, row * y_row + column * BLOCK, (vec)(0.0f));
${pad}}
</%def>\
## PREFETCH(p): the cache line at p is wanted soon. For processors whose own prefetch does not see the pattern.
<%def name="prefetch()">\
#ifndef PREFETCH
#ifdef __clang__
#define PREFETCH(p) __builtin_prefetch((p), 0, 3)
#else
#define PREFETCH(p)
#endif
#endif
</%def>\
## The epilogue of a convolution as arguments, so that one kernel serves with and without: bias (of groups * filters channels), a residual
## stored as the target is, with strides of its own, and the bound below which ACTIVATE(v) takes hold. What is absent is never read.
<%def name="epilogue_arguments()">\
    const int has_bias, const int has_residual, const float low,
    __global const real *restrict bias,
    __global const real *restrict residual,
    const int residual_image, const int residual_plane, const int residual_row, const int residual_offset,
</%def>\

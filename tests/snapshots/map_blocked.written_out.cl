// map_blocked
#define BLOCK 8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define map_blocked map_blocked_6934241d175b

#ifndef CLCONV_EXP_float
#define CLCONV_EXP_float
// k into `power`, exp(r) - 1 as the result. Adding 1.5 * 2^23 rounds to a whole number, which is then in the lowest bits.
static inline float __attribute__((overloadable)) clconv_reduced_exp(const float x, int *power)
{
    const float shifted = x * 1.44269504f + 12582912.0f;
    const float k = shifted - 12582912.0f;
    *power = as_int(shifted) - 0x4B400000;
    const float r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    const float p = (((0.0013951729f * r + 0.0083696041f) * r + 0.0416661873f) * r + 0.1666651219f) * r + 0.5f;
    return r * r * p + r;
}
static inline float __attribute__((overloadable)) clconv_exp(const float x)
{
    // Beyond these bounds the result is 0 or infinite; comparisons leave NaN as it is.
    const float above = x < (float)(-110.0f) ? (float)(-110.0f) : x;
    const float inside = above > (float)(100.0f) ? (float)(100.0f) : above;
    int power;
    const float value = clconv_reduced_exp(inside, &power) + 1.0f;
    // In two steps: 2^k itself may be too large or too small.
    const int half_power = power >> 1;
    return value * as_float((half_power + 127) << 23) * as_float((power - half_power + 127) << 23);
}
#endif
#ifndef CLCONV_EXPM1_float
#define CLCONV_EXPM1_float
static inline float __attribute__((overloadable)) clconv_expm1(const float x)
{
    const float above = x < (float)(-40.0f) ? (float)(-40.0f) : x;
    const float inside = above > (float)(89.0f) ? (float)(89.0f) : above;
    int power;
    const float value = clconv_reduced_exp(inside, &power);
    // 2^k (value + 1) - 1, by halves, since 2^k may be too large.
    const float half_scale = as_float((power + 126) << 23);
    const float result = (value * half_scale + (half_scale - 0.5f)) * 2.0f;
    return x == (float)(0.0f) ? x : result;
}
#endif
#ifndef CLCONV_TANH_float
#define CLCONV_TANH_float
static inline float __attribute__((overloadable)) clconv_tanh(const float x)
{
    const float size = x < (float)(0.0f) ? -x : x;
    const float large = 1.0f - 2.0f / (clconv_exp(2.0f * size) + 1.0f);
    const float z = x * x;
    const float p = (((-0.0057170438f * z + 0.0206505861f) * z + -0.0537434965f) * z + 0.1333149076f) * z + -0.3333328366f;
    const float far = x < (float)(0.0f) ? -large : large;
    return size < (float)(0.625f) ? x * (z * p + 1.0f) : far;
}
#endif
#ifndef CLCONV_LOG_float
#define CLCONV_LOG_float
static inline float __attribute__((overloadable)) clconv_log(const float x)
{
    // Denormal numbers are multiplied by 2^23 first. The subtraction takes 1 from the power of mantissas below sqrt(1/2). A whole number
    // below 2^22 in the lowest bits of 1.5 * 2^23 is that number as a float: conversions of vectors are calls.
    const float normal = x < (float)(1.17549435e-38f) ? x * 8388608.0f : x;
    const int bits = as_int(normal) - 0x3F3504F3;
    const float power = (x < (float)(1.17549435e-38f) ? (float)(-23.0f) : (float)(0.0f)) + (as_float((bits >> 23) + 0x4B400000) - 12582912.0f);
    const float f = as_float((bits & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
    const float low = (((0.0692764223f * f + -0.1180839092f) * f + 0.1187734827f) * f + -0.1238167286f) * f + 0.1421778351f;
    const float p = (((low * f + -0.1666936725f) * f + 0.2000226974f) * f + -0.2499998510f) * f + 0.3333331048f;
    const float z = f * f;
    const float result = (f + (z * (f * p - 0.5f) + power * -2.12194440e-4f)) + power * 0.693359375f;
    const float special = x == (float)(0.0f) ? (float)(-INFINITY) : (float)(NAN);
    // Neither above 0 and finite, nor infinite: 0, negative, NaN.
    return x > (float)(0.0f) ? (x == (float)(INFINITY) ? x : result) : special;
}
#endif
#define exp clconv_exp
#define expm1 clconv_expm1
#define log clconv_log
#define tanh clconv_tanh
__kernel WORK_GROUP
void map_blocked(
    __global const float *x0_data,
    const int x0_offset, const int x0_image, const int x0_plane, const int x0_row,
    __global float *y0_data,
    const int y0_offset, const int y0_image, const int y0_plane, const int y0_row,
    const int y0_above, const int y0_below, const int y0_left, const int y0_right,   // elements of halo
    __global float *y1_data,
    const int y1_offset, const int y1_image, const int y1_plane, const int y1_row,
    const int y1_above, const int y1_below, const int y1_left, const int y1_right,   // elements of halo
    const int channels,
    const int positions,          // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const int image = (int)get_global_id(2);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    __global const float *x0_plane0 = x0_data + (size_t)image * x0_image
        + block * x0_plane + x0_offset;
    __global float *y0_plane0 = y0_data + (size_t)image * y0_image + block * y0_plane + y0_offset;
    if (row0 == 0)
        for (int i = -y0_above - y0_left; i < -y0_left; ++i)
            y0_plane0[i] = 0.0f;
    __global float *y1_plane0 = y1_data + (size_t)image * y1_image + block * y1_plane + y1_offset;
    if (row0 == 0)
        for (int i = -y1_above - y1_left; i < -y1_left; ++i)
            y1_plane0[i] = 0.0f;
    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        __global const float *x0_at = x0_plane0 + row * x0_row;
        __global float *y0_at = y0_plane0 + row * y0_row;
        for (int i = -y0_left; i < 0; ++i)
            y0_at[i] = 0.0f;
        __global float *y1_at = y1_plane0 + row * y1_row;
        for (int i = -y1_left; i < 0; ++i)
            y1_at[i] = 0.0f;
        for (int column = 0; column < count; ++column) {
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)   // in place is safe: see above
#endif
            for (int lane = 0; lane < BLOCK; ++lane) {
                const float x0 = x0_at[column * BLOCK + lane];
                const float y0 = exp(x0);
                const float y1 = log(x0) + tanh(x0) + expm1(x0);
                y0_at[column * BLOCK + lane] = lane < lanes ? y0 : 0.0f;
                y1_at[column * BLOCK + lane] = lane < lanes ? y1 : 0.0f;
            }
        }
        for (int i = width * BLOCK; i < width * BLOCK + y0_right; ++i)
            y0_at[i] = 0.0f;
        for (int i = width * BLOCK; i < width * BLOCK + y1_right; ++i)
            y1_at[i] = 0.0f;
    }
    if (row1 == row_count)
        for (int i = -y0_left; i < y0_below - y0_left; ++i)
            y0_plane0[row_count * y0_row + i] = 0.0f;
    if (row1 == row_count)
        for (int i = -y1_left; i < y1_below - y1_left; ++i)
            y1_plane0[row_count * y1_row + i] = 0.0f;
}
#undef exp
#undef expm1
#undef log
#undef tanh

#undef BLOCK
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef map_blocked

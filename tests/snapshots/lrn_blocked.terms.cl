// lrn_blocked
#define BLOCK 8
#define POWER(b) (1.0f / (sqrt(b) * sqrt(sqrt(b))))
#define RUN 16
#define ZERO_RUN(p, n) for (int z_ = 0; z_ < (n); ++z_) STORE((p), z_, 0.0f)
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define lrn_blocked_terms lrn_blocked_terms_1972951701a6

#ifdef __clang__
#define sqrt(v) __builtin_sqrtf(v)
#endif
__kernel WORK_GROUP
void lrn_blocked_terms(
    __global const real *restrict x,        // N, channel blocks, rows, columns, BLOCK
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    __global const real *restrict dy,       // as x
    const int dy_offset, const int dy_image, const int dy_plane, const int dy_row,
    __global float *restrict terms,         // dy x base^(-BETA - 1)
    __global float *restrict powers,        // base^-BETA
    const float k, const float scale,       // scale: alpha / WINDOW
    const int channels,
    const int positions,                    // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const int blocks = (channels + BLOCK - 1) / BLOCK;
    const int lanes = min(BLOCK, channels - block * BLOCK);
    __global const real *x_plane0 = x + get_global_id(2) * x_image + block * x_plane + x_offset;
    __global const real *dy_plane0 = dy + get_global_id(2) * dy_image + block * dy_plane + dy_offset;
    const size_t scratch0 = (get_global_id(2) * blocks + block) * positions * BLOCK;

    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        for (int first = 0; first < count; first += RUN) {
            const int run = min(RUN, count - first);
            __global const real *x_at = x_plane0 + row * x_row + first * BLOCK;
            __global const real *dy_at = dy_plane0 + row * dy_row + first * BLOCK;
            const size_t scratch = scratch0 + (size_t)(row * width + first) * BLOCK;
            float sums[RUN * BLOCK] __attribute__((aligned(64)));
            for (int j = 0; j < run; ++j) {
                vec before1 = (vec)(0.0f);
                if (block + -1 >= 0 && block + -1 < blocks)
                {
                    const vec value = LOADV(x_at, -1 * x_plane + j * BLOCK);
                    before1 = value * value;
                }
                vec own = (vec)(0.0f);
                {
                    const vec value = LOADV(x_at, 0 * x_plane + j * BLOCK);
                    own = value * value;
                }
                vec behind1 = (vec)(0.0f);
                if (block + 1 >= 0 && block + 1 < blocks)
                {
                    const vec value = LOADV(x_at, 1 * x_plane + j * BLOCK);
                    behind1 = value * value;
                }
                vec sum = (vec)(0.0f);
                sum += (vec)(before1.s6, before1.s7, own.s0, own.s1, own.s2, own.s3, own.s4, own.s5);
                sum += (vec)(before1.s7, own.s0, own.s1, own.s2, own.s3, own.s4, own.s5, own.s6);
                sum += (vec)(own.s0, own.s1, own.s2, own.s3, own.s4, own.s5, own.s6, own.s7);
                sum += (vec)(own.s1, own.s2, own.s3, own.s4, own.s5, own.s6, own.s7, behind1.s0);
                sum += (vec)(own.s2, own.s3, own.s4, own.s5, own.s6, own.s7, behind1.s0, behind1.s1);
                *(vec *)(sums + j * BLOCK) = sum;
            }
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#endif
            for (int i = 0; i < run * BLOCK; ++i) {
                const int live = (i & (BLOCK - 1)) < lanes;
                const float base = k + scale * sums[i];
                const float power = POWER(base);
                const float term = LOAD(dy_at, i) * LOAD(x_at, i) * power / base;
                terms[scratch + i] = live ? term : 0.0f;
                powers[scratch + i] = power;
            }
        }
    }
}
#undef sqrt

#undef BLOCK
#undef POWER
#undef RUN
#undef ZERO_RUN
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef lrn_blocked_terms

// reduce_blocked
#define BLOCK 8
#define COMBINE(a, v) ((a) + (v))
#define IDENTITY 0.0f
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define reduce_splits reduce_splits_cf69db7bb309

__kernel WORK_GROUP
void reduce_splits(
    __global const float *restrict partial,
    __global float *restrict y0_data,   // C
    __global float *restrict y1_data,   // C
    const float count,
    const int channels,
    const int splits)
{
    const int block = (int)get_global_id(0);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    float total0[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        total0[lane] = IDENTITY;
    for (int split = 0; split < splits; ++split)
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float more = partial[((size_t)(split * 2 + 0) * get_global_size(0) + block) * BLOCK + lane];
            total0[lane] = COMBINE(total0[lane], more);
        }
    float total1[BLOCK];
    for (int lane = 0; lane < BLOCK; ++lane)
        total1[lane] = IDENTITY;
    for (int split = 0; split < splits; ++split)
        for (int lane = 0; lane < BLOCK; ++lane) {
            const float more = partial[((size_t)(split * 2 + 1) * get_global_size(0) + block) * BLOCK + lane];
            total1[lane] = COMBINE(total1[lane], more);
        }
    for (int lane = 0; lane < lanes; ++lane) {
        {
            const float r = total0[lane];
            y0_data[block * BLOCK + lane] = (r);
        }
        {
            const float r = total1[lane];
            y1_data[block * BLOCK + lane] = (r / count);
        }
    }
}

#undef BLOCK
#undef COMBINE
#undef IDENTITY
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef reduce_splits

// conv_direct_backward_weights
#define CHUNK 1
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define conv_direct_sum conv_direct_sum_550274072bd3

__kernel WORK_GROUP
void conv_direct_sum(
    __global const float *restrict partial, // splits, count
    __global real *restrict dw,             // count
    const int count, const int splits)
{
    const int first = get_global_id(0) * CHUNK;
    const int most = count - first < CHUNK ? count - first : CHUNK;
    float sums[CHUNK];
    for (int i = 0; i < most; ++i) sums[i] = 0.0f;
    for (int split = 0; split < splits; ++split) {
        for (int i = 0; i < most; ++i) sums[i] += partial[split * count + first + i];
    }
    for (int i = 0; i < most; ++i) STORE(dw, first + i, sums[i]);
}

#undef CHUNK
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_direct_sum

// conv_depthwise_weights
#define BLOCK 8
#define GROUP 1
#define KERNEL_H 3
#define KERNEL_W 2
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define depthwise_weights_sum depthwise_weights_sum_35145168737d

__kernel WORK_GROUP
void depthwise_weights_sum(
    __global const float *restrict partial,
    __global real *restrict dw,   // channels, GROUP, kernel rows and columns
    const int channels, const int splits)
{
    const int block = (int)get_global_id(0);
    const int lanes = min(BLOCK, channels - block * BLOCK);
    const size_t slab = get_global_size(0) * (KERNEL_H * KERNEL_W * GROUP * BLOCK);
    __global const float *first = partial + (size_t)block * (KERNEL_H * KERNEL_W * GROUP * BLOCK);
    __global real *out = dw + (size_t)block * BLOCK * (GROUP * KERNEL_H * KERNEL_W);

    for (int tap = 0; tap < KERNEL_H * KERNEL_W; ++tap)
        for (int j = 0; j < GROUP; ++j) {
            __global const float *terms = first + (tap * GROUP + j) * BLOCK;
            vec sum = *(__global const vec *)terms;
            for (int split = 1; split < splits; ++split)
                sum += *(__global const vec *)(terms + split * slab);
            float sums[BLOCK];
            vstore8(sum, 0, sums);
            for (int lane = 0; lane < lanes; ++lane)
                STORE(out, (lane * GROUP + j) * (KERNEL_H * KERNEL_W) + tap, sums[lane]);
        }
}

#undef BLOCK
#undef GROUP
#undef KERNEL_H
#undef KERNEL_W
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef depthwise_weights_sum

// conv_depthwise_weights
#define BLOCK 8
#define DILATION_H 1
#define DILATION_W 1
#define GROUP 1
#define KERNEL_H 3
#define KERNEL_W 2
#define STRIDE_H 2
#define STRIDE_W 2
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define vec float8
#define LOADV(p, i) (*(__global const vec *)((p) + (i)))
#define STOREV(p, i, v) (*(__global vec *)((p) + (i)) = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define depthwise_weights_partial depthwise_weights_partial_92d71ca06f05

__kernel WORK_GROUP
void depthwise_weights_partial(
    __global const real *restrict x,    // N, channel blocks, rows, columns, BLOCK
    __global const real *restrict dy,   // N, channel blocks, P, Q, BLOCK
    __global float *restrict partial,
    const int x_offset, const int x_image, const int x_plane, const int x_row,
    const int dy_offset, const int dy_image, const int dy_plane, const int dy_row,
    const int p_count, const int q_count,   // size of an output plane
    const int units, const int splits)      // output rows of all images, and into how many parts they are split
{
    const int block = (int)get_global_id(0);
    const int split = (int)get_global_id(1);
    const int begin = (int)((long)split * units / splits);
    const int end = (int)((long)(split + 1) * units / splits);
    __global const real *x_plane0 = x + block * x_plane + x_offset;
    __global const real *dy_plane0 = dy + block * dy_plane + dy_offset;
    __global float *slab = partial + ((size_t)split * get_global_size(0) + block) * (KERNEL_H * KERNEL_W * GROUP * BLOCK);

    for (int r0 = 0; r0 + 2 <= KERNEL_H; r0 += 2)
        {
            vec sum0_0_0 = (vec)(0.0f);
            vec sum0_1_0 = (vec)(0.0f);
            vec sum1_0_0 = (vec)(0.0f);
            vec sum1_1_0 = (vec)(0.0f);
            for (int unit = begin; unit < end; ++unit) {
                const int image = unit / p_count;
                const int p = unit - image * p_count;
                __global const real *gradient = dy_plane0 + (size_t)image * dy_image + p * dy_row;
                __global const real *seen = x_plane0 + (size_t)image * x_image + (p * STRIDE_H + r0 * DILATION_H) * x_row + 0 * DILATION_W * BLOCK;
                for (int q = 0; q < q_count; ++q) {
                    const vec dy_value = LOADV(gradient, q * BLOCK);
                    {
                        const vec value = LOADV(seen, 0 * DILATION_H * x_row + (q * STRIDE_W + 0 * DILATION_W) * BLOCK);
                        sum0_0_0 += value * dy_value;
                    }
                    {
                        const vec value = LOADV(seen, 0 * DILATION_H * x_row + (q * STRIDE_W + 1 * DILATION_W) * BLOCK);
                        sum0_1_0 += value * dy_value;
                    }
                    {
                        const vec value = LOADV(seen, 1 * DILATION_H * x_row + (q * STRIDE_W + 0 * DILATION_W) * BLOCK);
                        sum1_0_0 += value * dy_value;
                    }
                    {
                        const vec value = LOADV(seen, 1 * DILATION_H * x_row + (q * STRIDE_W + 1 * DILATION_W) * BLOCK);
                        sum1_1_0 += value * dy_value;
                    }
                }
            }
            __global float *to0 = slab + ((r0 + 0) * KERNEL_W + 0) * (GROUP * BLOCK);
            *(__global vec *)(to0 + 0 * BLOCK) = sum0_0_0;
            *(__global vec *)(to0 + 1 * BLOCK) = sum0_1_0;
            __global float *to1 = slab + ((r0 + 1) * KERNEL_W + 0) * (GROUP * BLOCK);
            *(__global vec *)(to1 + 0 * BLOCK) = sum1_0_0;
            *(__global vec *)(to1 + 1 * BLOCK) = sum1_1_0;
        }
    {
        const int r0 = KERNEL_H - 1;
        {
            vec sum0_0_0 = (vec)(0.0f);
            vec sum0_1_0 = (vec)(0.0f);
            for (int unit = begin; unit < end; ++unit) {
                const int image = unit / p_count;
                const int p = unit - image * p_count;
                __global const real *gradient = dy_plane0 + (size_t)image * dy_image + p * dy_row;
                __global const real *seen = x_plane0 + (size_t)image * x_image + (p * STRIDE_H + r0 * DILATION_H) * x_row + 0 * DILATION_W * BLOCK;
                for (int q = 0; q < q_count; ++q) {
                    const vec dy_value = LOADV(gradient, q * BLOCK);
                    {
                        const vec value = LOADV(seen, 0 * DILATION_H * x_row + (q * STRIDE_W + 0 * DILATION_W) * BLOCK);
                        sum0_0_0 += value * dy_value;
                    }
                    {
                        const vec value = LOADV(seen, 0 * DILATION_H * x_row + (q * STRIDE_W + 1 * DILATION_W) * BLOCK);
                        sum0_1_0 += value * dy_value;
                    }
                }
            }
            __global float *to0 = slab + ((r0 + 0) * KERNEL_W + 0) * (GROUP * BLOCK);
            *(__global vec *)(to0 + 0 * BLOCK) = sum0_0_0;
            *(__global vec *)(to0 + 1 * BLOCK) = sum0_1_0;
        }
    }
}

#undef BLOCK
#undef DILATION_H
#undef DILATION_W
#undef GROUP
#undef KERNEL_H
#undef KERNEL_W
#undef STRIDE_H
#undef STRIDE_W
#undef real
#undef LOAD
#undef STORE
#undef vec
#undef LOADV
#undef STOREV
#undef WORK_GROUP
#undef depthwise_weights_partial

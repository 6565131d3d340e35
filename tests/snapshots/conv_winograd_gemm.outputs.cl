// conv_winograd_gemm
#define ACTIVATE(v) ((v) < 0.0f ? (slope == 0.0f ? 0.0f : (v) * slope) : (v))
#define OUTPUTS 2
#define PRODUCTS 4
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define winograd_gemm_outputs winograd_gemm_outputs_3501e89bddb6

__kernel WORK_GROUP
void winograd_gemm_outputs(
    __global const float *restrict sums,      // PRODUCTS, PRODUCTS, channels, columns
    __global const float *restrict bias,      // channels, never read without has_bias
    __global const float *restrict residual,  // as out, never read without has_residual
    __global float *restrict out,             // N, channels, height, width
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
    const int batch, const int channels, const int height, const int width,
    const int tiles_y, const int tiles_x, const int columns)
{
    const int tile = get_global_id(0);
    const int channel = get_global_id(1);
    const int image = tile / (tiles_y * tiles_x);
    if (image >= batch) return;
    const int rest = tile - image * (tiles_y * tiles_x);
    const int y = rest / tiles_x * OUTPUTS;
    const int x = rest % tiles_x * OUTPUTS;
    __global const float *from = sums + channel * columns + tile;
    const size_t step = (size_t)channels * columns;
    const float s0_0 = from[0 * step];
    const float s0_1 = from[1 * step];
    const float s0_2 = from[2 * step];
    const float s0_3 = from[3 * step];
    const float s1_0 = from[4 * step];
    const float s1_1 = from[5 * step];
    const float s1_2 = from[6 * step];
    const float s1_3 = from[7 * step];
    const float s2_0 = from[8 * step];
    const float s2_1 = from[9 * step];
    const float s2_2 = from[10 * step];
    const float s2_3 = from[11 * step];
    const float s3_0 = from[12 * step];
    const float s3_1 = from[13 * step];
    const float s3_2 = from[14 * step];
    const float s3_3 = from[15 * step];
    const float t0_0_even1 = s1_0 + s2_0;
    const float t0_0_odd1 = s1_0 - s2_0;
    const float t0_0 = t0_0_even1 + s0_0;
    const float t1_0 = t0_0_odd1 + s3_0;
    const float t0_1_even1 = s1_1 + s2_1;
    const float t0_1_odd1 = s1_1 - s2_1;
    const float t0_1 = t0_1_even1 + s0_1;
    const float t1_1 = t0_1_odd1 + s3_1;
    const float t0_2_even1 = s1_2 + s2_2;
    const float t0_2_odd1 = s1_2 - s2_2;
    const float t0_2 = t0_2_even1 + s0_2;
    const float t1_2 = t0_2_odd1 + s3_2;
    const float t0_3_even1 = s1_3 + s2_3;
    const float t0_3_odd1 = s1_3 - s2_3;
    const float t0_3 = t0_3_even1 + s0_3;
    const float t1_3 = t0_3_odd1 + s3_3;
    const float v0_0_even1 = t0_1 + t0_2;
    const float v0_0_odd1 = t0_1 - t0_2;
    const float v0_0 = v0_0_even1 + t0_0;
    const float v0_1 = v0_0_odd1 + t0_3;
    const float v1_0_even1 = t1_1 + t1_2;
    const float v1_0_odd1 = t1_1 - t1_2;
    const float v1_0 = v1_0_even1 + t1_0;
    const float v1_1 = v1_0_odd1 + t1_3;
    const float shift = has_bias ? bias[channel] : 0.0f;
    const int at = ((image * channels + channel) * height + y) * width + x;
    if (y + 0 < height && x + 0 < width) {
        float value = v0_0 + shift;
        if (has_residual) value += residual[at + 0 * width + 0];
        out[at + 0 * width + 0] = ACTIVATE(value);
    }
    if (y + 0 < height && x + 1 < width) {
        float value = v0_1 + shift;
        if (has_residual) value += residual[at + 0 * width + 1];
        out[at + 0 * width + 1] = ACTIVATE(value);
    }
    if (y + 1 < height && x + 0 < width) {
        float value = v1_0 + shift;
        if (has_residual) value += residual[at + 1 * width + 0];
        out[at + 1 * width + 0] = ACTIVATE(value);
    }
    if (y + 1 < height && x + 1 < width) {
        float value = v1_1 + shift;
        if (has_residual) value += residual[at + 1 * width + 1];
        out[at + 1 * width + 1] = ACTIVATE(value);
    }
}

#undef ACTIVATE
#undef OUTPUTS
#undef PRODUCTS
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef winograd_gemm_outputs

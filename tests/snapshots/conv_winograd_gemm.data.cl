// conv_winograd_gemm
#define OUTPUTS 2
#define PRODUCTS 4
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define winograd_gemm_data winograd_gemm_data_901f84e614ed

__kernel WORK_GROUP
void winograd_gemm_data(
    __global const float *restrict source,   // N, channels, height, width
    __global float *restrict data,           // PRODUCTS, PRODUCTS, channels, columns
    const int batch, const int channels, const int height, const int width,
    const int tiles_y, const int tiles_x, const int columns, const int y_begin, const int x_begin)   // where the first window begins
{
    const int tile = get_global_id(0);
    const int channel = get_global_id(1);
    if (tile >= columns) return;
    const int image = tile / (tiles_y * tiles_x);
    const int rest = tile - image * (tiles_y * tiles_x);
    const int y = rest / tiles_x * OUTPUTS + y_begin;
    const int x = rest % tiles_x * OUTPUTS + x_begin;
    const int live = image < batch;   // tiles that only fill up are zero
    __global const float *from = source + (live ? (image * channels + channel) * height * width : 0);
    const int inside_x0 = (uint)(x + 0) < (uint)width;
    const int inside_x1 = (uint)(x + 1) < (uint)width;
    const int inside_x2 = (uint)(x + 2) < (uint)width;
    const int inside_x3 = (uint)(x + 3) < (uint)width;
    const int inside_y0 = live & ((uint)(y + 0) < (uint)height);
    const float d0_0 = inside_y0 & inside_x0 ? from[(y + 0) * width + x + 0] : 0.0f;
    const float d0_1 = inside_y0 & inside_x1 ? from[(y + 0) * width + x + 1] : 0.0f;
    const float d0_2 = inside_y0 & inside_x2 ? from[(y + 0) * width + x + 2] : 0.0f;
    const float d0_3 = inside_y0 & inside_x3 ? from[(y + 0) * width + x + 3] : 0.0f;
    const int inside_y1 = live & ((uint)(y + 1) < (uint)height);
    const float d1_0 = inside_y1 & inside_x0 ? from[(y + 1) * width + x + 0] : 0.0f;
    const float d1_1 = inside_y1 & inside_x1 ? from[(y + 1) * width + x + 1] : 0.0f;
    const float d1_2 = inside_y1 & inside_x2 ? from[(y + 1) * width + x + 2] : 0.0f;
    const float d1_3 = inside_y1 & inside_x3 ? from[(y + 1) * width + x + 3] : 0.0f;
    const int inside_y2 = live & ((uint)(y + 2) < (uint)height);
    const float d2_0 = inside_y2 & inside_x0 ? from[(y + 2) * width + x + 0] : 0.0f;
    const float d2_1 = inside_y2 & inside_x1 ? from[(y + 2) * width + x + 1] : 0.0f;
    const float d2_2 = inside_y2 & inside_x2 ? from[(y + 2) * width + x + 2] : 0.0f;
    const float d2_3 = inside_y2 & inside_x3 ? from[(y + 2) * width + x + 3] : 0.0f;
    const int inside_y3 = live & ((uint)(y + 3) < (uint)height);
    const float d3_0 = inside_y3 & inside_x0 ? from[(y + 3) * width + x + 0] : 0.0f;
    const float d3_1 = inside_y3 & inside_x1 ? from[(y + 3) * width + x + 1] : 0.0f;
    const float d3_2 = inside_y3 & inside_x2 ? from[(y + 3) * width + x + 2] : 0.0f;
    const float d3_3 = inside_y3 & inside_x3 ? from[(y + 3) * width + x + 3] : 0.0f;
    const float t0_0 = -d0_0 + d2_0;
    const float t3_0 = -d1_0 + d3_0;
    const float t1_0_even = d2_0;
    const float t1_0_odd = d1_0;
    const float t1_0 = t1_0_even + t1_0_odd;
    const float t2_0 = t1_0_even - t1_0_odd;
    const float t0_1 = -d0_1 + d2_1;
    const float t3_1 = -d1_1 + d3_1;
    const float t1_1_even = d2_1;
    const float t1_1_odd = d1_1;
    const float t1_1 = t1_1_even + t1_1_odd;
    const float t2_1 = t1_1_even - t1_1_odd;
    const float t0_2 = -d0_2 + d2_2;
    const float t3_2 = -d1_2 + d3_2;
    const float t1_2_even = d2_2;
    const float t1_2_odd = d1_2;
    const float t1_2 = t1_2_even + t1_2_odd;
    const float t2_2 = t1_2_even - t1_2_odd;
    const float t0_3 = -d0_3 + d2_3;
    const float t3_3 = -d1_3 + d3_3;
    const float t1_3_even = d2_3;
    const float t1_3_odd = d1_3;
    const float t1_3 = t1_3_even + t1_3_odd;
    const float t2_3 = t1_3_even - t1_3_odd;
    const float v0_0 = -t0_0 + t0_2;
    const float v0_3 = -t0_1 + t0_3;
    const float v0_1_even = t0_2;
    const float v0_1_odd = t0_1;
    const float v0_1 = v0_1_even + v0_1_odd;
    const float v0_2 = v0_1_even - v0_1_odd;
    const float v1_0 = -t1_0 + t1_2;
    const float v1_3 = -t1_1 + t1_3;
    const float v1_1_even = t1_2;
    const float v1_1_odd = t1_1;
    const float v1_1 = v1_1_even + v1_1_odd;
    const float v1_2 = v1_1_even - v1_1_odd;
    const float v2_0 = -t2_0 + t2_2;
    const float v2_3 = -t2_1 + t2_3;
    const float v2_1_even = t2_2;
    const float v2_1_odd = t2_1;
    const float v2_1 = v2_1_even + v2_1_odd;
    const float v2_2 = v2_1_even - v2_1_odd;
    const float v3_0 = -t3_0 + t3_2;
    const float v3_3 = -t3_1 + t3_3;
    const float v3_1_even = t3_2;
    const float v3_1_odd = t3_1;
    const float v3_1 = v3_1_even + v3_1_odd;
    const float v3_2 = v3_1_even - v3_1_odd;
    __global float *to = data + channel * columns + tile;
    const size_t step = (size_t)channels * columns;
    to[0 * step] = v0_0;
    to[1 * step] = v0_1;
    to[2 * step] = v0_2;
    to[3 * step] = v0_3;
    to[4 * step] = v1_0;
    to[5 * step] = v1_1;
    to[6 * step] = v1_2;
    to[7 * step] = v1_3;
    to[8 * step] = v2_0;
    to[9 * step] = v2_1;
    to[10 * step] = v2_2;
    to[11 * step] = v2_3;
    to[12 * step] = v3_0;
    to[13 * step] = v3_1;
    to[14 * step] = v3_2;
    to[15 * step] = v3_3;
}

#undef OUTPUTS
#undef PRODUCTS
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef winograd_gemm_data

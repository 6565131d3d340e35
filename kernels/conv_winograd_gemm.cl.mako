## conv_winograd_gemm.cl.mako -- the transforms before and after the products of minimal filtering (Lavin and Gray 2016), for GPUs.
##
## A tile of OUTPUTS x OUTPUTS positions needs PRODUCTS x PRODUCTS products a pair of channels, which conv_gemm sums over channels. Tiles of
## all images are numbered, and filled up to `columns`.
##     data     one work-item transforms one window of PRODUCTS x PRODUCTS inputs of one channel: B^T d B
##     outputs  one work-item transforms the products of one tile of one output channel into positions: A^T s A, then the epilogue
## Index spaces, fastest first:
##     get_global_id(0)  tile
##     get_global_id(1)  channel of all groups
##
## Header constants: OUTPUTS, PRODUCTS, ACTIVATE.   Render arguments: stage ("data" or "outputs"); matrix: B^T or A^T.
<%page args="stage, matrix"/>\
<%!
    from clconv.codegen.linear_map import transform
%>\
<%
    size, inner = len(matrix), len(matrix[0])

    def both_axes(name, between, result):
        """Statements for `result`i_j = matrix `name` matrix^T, columns first."""
        lines = []
        for j in range(inner):
            lines += transform(matrix, [f"{name}{i}_{j}" for i in range(inner)], [f"{between}{i}_{j}" for i in range(size)], "float")
        for i in range(size):
            lines += transform(matrix, [f"{between}{i}_{j}" for j in range(inner)], [f"{result}{i}_{j}" for j in range(size)], "float")
        return "".join(f"    {line}\n" for line in lines)
%>\
% if stage == "data":
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
    % for j in range(inner):
    const int inside_x${j} = (uint)(x + ${j}) < (uint)width;
    % endfor
    % for i in range(inner):
    const int inside_y${i} = live & ((uint)(y + ${i}) < (uint)height);
    % for j in range(inner):
    const float d${i}_${j} = inside_y${i} & inside_x${j} ? from[(y + ${i}) * width + x + ${j}] : 0.0f;
    % endfor
    % endfor
${both_axes("d", "t", "v")}\
    __global float *to = data + channel * columns + tile;
    const size_t step = (size_t)channels * columns;
    % for i in range(size):
    % for j in range(size):
    to[${i * size + j} * step] = v${i}_${j};
    % endfor
    % endfor
}
% else:
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
    % for i in range(inner):
    % for j in range(inner):
    const float s${i}_${j} = from[${i * inner + j} * step];
    % endfor
    % endfor
${both_axes("s", "t", "v")}\
    const float shift = has_bias ? bias[channel] : 0.0f;
    const int at = ((image * channels + channel) * height + y) * width + x;
    % for i in range(size):
    % for j in range(size):
    if (y + ${i} < height && x + ${j} < width) {
        float value = v${i}_${j} + shift;
        if (has_residual) value += residual[at + ${i} * width + ${j}];
        out[at + ${i} * width + ${j}] = ACTIVATE(value);
    }
    % endfor
    % endfor
}
% endif

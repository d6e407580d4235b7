  // On paper, figures are as wide as the paper.
  const figures = [...document.querySelectorAll(".plotly-graph-div")];
  window.addEventListener("beforeprint", () => figures.forEach((figure) => Plotly.relayout(figure, { width: 680 })));
  window.addEventListener("afterprint", () =>
    figures.forEach((figure) => Plotly.relayout(figure, { width: null, autosize: true })),
  );
